"""What all mistakes in a declaration have in common."""

from celeriac.model.errors import CeleriacError


class DeclarationError(CeleriacError, ValueError):
    """A queue, table, policy or task was declared in a way that can't be kept.

    It is raised when the module that declares it is imported, so at synth and in every test, and its text names the
    declaration and the cure.
    """


class TaskError(DeclarationError):
    """A task was declared in a way that can't be kept."""
