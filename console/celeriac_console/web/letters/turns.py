"""Whose turn it is at a dead-letter queue: a screen that reads it, an action on one letter, or a job.

Whoever receives letters hides them from the others. Two at once would each see only a part, and a job would count what
a screen holds as missed. So each has its turn, and a job, whose turn is long, isn't waited for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from celeriac_console.terminal.errors import UserError


class JobAtWorkError(UserError):
    """A job works on the queue now, so its letters can't be read."""

    def __init__(self, queue: str) -> None:
        super().__init__(
            f"a job works on the dead letters of {queue} now, so they aren't read: pause it, or wait until it has ended"
        )


class Turns:
    """One turn at a time for each queue."""

    def __init__(self) -> None:
        self._at_work: dict[str, bool] = {}
        """The queues whose turn somebody has, each with whether it is a job's."""
        self._changed = Condition()

    @contextmanager
    def short(self, queue: str) -> Iterator[None]:
        """A turn of seconds: it waits for others of this kind. Raises JobAtWorkError."""
        with self._turn(queue, long=False):
            yield

    @contextmanager
    def long(self, queue: str) -> Iterator[None]:
        """A job's turn: it waits for a short one."""
        with self._turn(queue, long=True):
            yield

    @contextmanager
    def _turn(self, queue: str, *, long: bool) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: queue not in self._at_work or (self._at_work[queue] and not long))
            if queue in self._at_work:
                raise JobAtWorkError(queue)
            self._at_work[queue] = long
        try:
            yield
        finally:
            with self._changed:
                del self._at_work[queue]
                self._changed.notify_all()
