"""The base classes of the library's exceptions."""


class CeleriacError(Exception):
    """Base class. `except CeleriacError` catches the errors that the library itself raises, but no error of AWS."""


class NotConfiguredError(CeleriacError, RuntimeError):
    """A program uses Celeriac, and its stage, its AWS region or its credentials aren't known. The text has the cure.

    Nothing was sent: Celeriac never falls back to another stage.
    """


class Signal(CeleriacError):  # noqa: N818 - a signal isn't an error
    """Tells how a run continues. A signal isn't an error, so its subclasses are named after what they tell."""


class DeclarationError(CeleriacError, ValueError):
    """A queue, table, policy or task was declared in a way that AWS or Celeriac doesn't support.

    The error is raised when the module with the declaration is imported, so at `cdk synth` and in every test. Its text
    names the declaration and the fix.
    """


class TaskError(DeclarationError):
    """A task was declared in a way that AWS or Celeriac doesn't support."""
