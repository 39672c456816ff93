"""What a fork makes useless: a connection would belong to two processes, and a lock that another thread held would
stay locked, because the child has only the thread that forked.

gunicorn's preloading, prefork workers and `multiprocessing` fork. Each module that has such things renews them itself.
"""

import os
import threading
from collections.abc import Callable
from types import TracebackType


def after_fork_in_child(renew: Callable[[], object]) -> None:
    """Call `renew` in each child that this process forks, before anything else runs there."""
    if hasattr(os, "register_at_fork"):  # Windows has no fork
        os.register_at_fork(after_in_child=renew)


def after_fork(renew: Callable[[], object]) -> None:
    """Call `renew` after each fork, in the child and in the parent."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew, after_in_parent=renew)


class Lock:
    """A lock that is open in a child, whoever held it during the fork. Made once for each module, never dropped."""

    def __init__(self) -> None:
        self._open()
        after_fork_in_child(self._open)

    def _open(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()
