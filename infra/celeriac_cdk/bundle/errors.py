"""The error of a bundle that can't be built."""


class BundleError(RuntimeError):
    """The bundle can't be built. The message names the cause and the cure."""
