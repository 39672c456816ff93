"""A value that is read again when it is old, once for all who ask. While AWS throttles, it is read less often."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

from celeriac.aws.client import error_code

THROTTLED = frozenset({
    "Throttling", "ThrottlingException", "RequestThrottled", "TooManyRequestsException", "LimitExceededException",
    "ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottledException",
})  # fmt: skip
LONGEST = timedelta(minutes=5)
"""The longest pause between two reads while AWS throttles them."""


@dataclass(frozen=True, slots=True)
class Read[T]:
    """A value, and when it was read."""

    value: T
    at: datetime
    problem: str = ""
    """Why it wasn't read again since, if that failed."""


class SharedRead[T]:
    """Nobody asks: nothing is read. Many ask at once: one reads, the others wait for it."""

    def __init__(self, read: Callable[[], T], every: timedelta) -> None:
        self.every = every
        self._read = read
        self._pause = every
        self._next = 0.0
        self._last: Read[T] | None = None
        self._lock = Lock()

    def get(self, *, fresh: bool = False) -> Read[T]:
        """The value, at most `every` old. Raises what the first read raises; a later one that fails keeps the value.

        fresh: read it now, because it was changed.
        """
        with self._lock:
            if fresh or self._last is None or time.monotonic() >= self._next:
                self._last = self._again(self._last)
            return self._last

    def _again(self, last: Read[T] | None) -> Read[T]:
        try:
            read = Read(self._read(), datetime.now(UTC))
        except Exception as error:
            if last is None:
                raise
            if error_code(error).rpartition(".")[2] in THROTTLED:
                self._pause = min(2 * self._pause, LONGEST)
            read = Read(last.value, last.at, str(error))
        else:
            self._pause = self.every
        self._next = time.monotonic() + self._pause.total_seconds()
        return read
