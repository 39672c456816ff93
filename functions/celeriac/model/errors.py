"""The base classes of the library's exceptions."""


class CeleriacError(Exception):
    """Base class. `except CeleriacError` catches the errors that the library itself raises, but no error of AWS."""


class Signal(CeleriacError):  # noqa: N818 - a signal isn't an error
    """Tells how a run continues. A signal isn't an error, so its subclasses are named after what they tell."""
