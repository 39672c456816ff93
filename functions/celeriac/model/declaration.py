"""The base classes of errors in a declaration."""

from celeriac.model.errors import CeleriacError


class DeclarationError(CeleriacError, ValueError):
    """A queue, table, policy or task was declared in a way that AWS or Celeriac doesn't support.

    The error is raised when the module with the declaration is imported, so at `cdk synth` and in every test. Its text
    names the declaration and the fix.
    """


class TaskError(DeclarationError):
    """A task was declared in a way that AWS or Celeriac doesn't support."""
