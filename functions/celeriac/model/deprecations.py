"""Deprecations: what still works in this minor release, and is gone in the next one."""

import warnings


class CeleriacDeprecationWarning(DeprecationWarning):
    """Something of the public API goes in the next minor release. The text names what to write instead.

    Python hides such warnings outside tests. To see them elsewhere: `-W always::DeprecationWarning`.
    """


def deprecated(what: str, *, gone_in: str, instead: str) -> None:
    """Warn of `what`, at the line of the user's code that called what calls this.

    gone_in: the version without it, such as `0.4`. instead: the cure, such as `write options(delay=...)`.
    """
    warnings.warn(f"{what} goes in Celeriac {gone_in}: {instead}", CeleriacDeprecationWarning, stacklevel=3)
