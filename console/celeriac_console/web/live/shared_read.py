"""A value that is read again when it is old, once for all who ask. While AWS throttles, it is read less often."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

from celeriac.aws.client import error_code
from celeriac_console.explain import DENIED, explanation, is_of_login
from celeriac_console.stage import clients

THROTTLED = frozenset({
    "LimitExceededException", "PriorRequestNotComplete", "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException",
    "SlowDown", "ThrottledException", "Throttling", "ThrottlingException", "TooManyRequestsException",
})  # fmt: skip
LONGEST = timedelta(minutes=5)
"""The longest pause between two reads while AWS throttles them."""
AFTER_DENIAL = timedelta(minutes=1)
"""The pause after a read that the operator may not do: rights don't change from one second to the next."""
WHILE_LOGGED_OUT = timedelta(seconds=5)
"""The longest pause after a read without a login: the operator waits for the page to work again."""
SLACK = timedelta(seconds=0.5)
"""A value counts as old so much earlier. Else a tab that asks every five seconds would come a little too early."""


@dataclass(frozen=True, slots=True)
class Read[T]:
    """A value, and when it was read."""

    value: T
    at: datetime | None
    """None: it couldn't be read yet, and `value` is what stands for nothing."""
    error: Exception | None = None
    """What the last try raised, if it failed."""

    @property
    def problem(self) -> str:
        """Why the last try failed, and what to do; empty if it didn't."""
        found = explanation(self.error) if self.error is not None else None
        return found[0] if found is not None else ""


class SharedRead[T]:
    """Nobody asks: nothing is read. Many ask at once: one reads, the others wait for it."""

    def __init__(self, read: Callable[[], T], every: timedelta, nothing: T) -> None:
        self.every = every
        self._read = read
        self._pause = every
        self._tried_at: datetime | None = None
        self._last = Read(nothing, None)
        self._lock = Lock()

    def get(self, *, fresh: bool = False) -> Read[T]:
        """The value, at most `every` old, or the last one that could be read. Raises errors that nobody can explain.

        fresh: read it now, because it was changed.
        """
        with self._lock:
            if fresh or self._is_old():
                self._tried_at = datetime.now(UTC)
                self._last = self._again(self._last)
            return self._last

    def _is_old(self) -> bool:
        # The clock of this machine may be set back.
        return self._tried_at is None or not timedelta() <= datetime.now(UTC) - self._tried_at < self._pause - SLACK

    def _again(self, last: Read[T]) -> Read[T]:
        try:
            read = Read(self._read(), datetime.now(UTC))
        except Exception as error:
            if explanation(error) is None:
                raise
            code = error_code(error).rpartition(".")[2]
            if is_of_login(error):
                clients.forget()  # so that the page works again after a new login
                self._pause = min(self.every, WHILE_LOGGED_OUT)
            elif code in THROTTLED:
                self._pause = min(2 * self._pause, LONGEST)
            elif code in DENIED:
                self._pause = max(self.every, AFTER_DENIAL)
            else:
                self._pause = self.every
            return Read(last.value, last.at, error)
        self._pause = self.every
        return read
