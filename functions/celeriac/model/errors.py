"""What all exceptions of the library have in common."""


class CeleriacError(Exception):
    """Base class. `except CeleriacError` catches what the library raises itself, and no error of AWS."""


class Signal(CeleriacError):  # noqa: N818 - it is no error
    """Says how a run goes on, and is no error: its subclasses are named after what they say."""
