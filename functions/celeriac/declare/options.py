"""The options with which a task is enqueued: a delay or a time, a group, a key, an expiry."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from celeriac.aws.sqs import is_group
from celeriac.enqueue.send import NOW
from celeriac.model import celery_names, lenient
from celeriac.model.message import MOST_KEY
from celeriac.model.queue import MAX_DELAY, Queue
from celeriac.model.retry import LONGEST_DELAY


class Options(Struct, frozen=True):
    """The arguments of `task.options(...)`."""

    delay: timedelta = NOW
    at: datetime | None = None
    group: str | None = None
    key: str | None = None
    expires: timedelta | datetime | None = None

    @property
    def wait(self) -> timedelta:
        """How long to wait from now. A time in the past means no wait."""
        return self.delay if self.at is None else max(self.at - datetime.now(UTC), NOW)

    def expires_at(self, declared: timedelta | None) -> datetime | None:
        """When a message that is sent now expires; None if it never does. `declared` is the task's own `expires`.

        Raises OverflowError if it is later than any datetime.
        """
        expires = self.expires if self.expires is not None else declared
        if isinstance(expires, timedelta):
            return datetime.now(UTC) + expires
        return expires.astimezone(UTC) if expires is not None else None

    def check(
        self,
        task: str,
        written: str,
        queue: Queue,
        unknown: Mapping[str, object],
        declared: timedelta | None = None,
    ) -> None:
        """Raise ValueError for a wrong value, TypeError for a wrong type or an unknown option, naming task and cure.

        written: the name of the task's function in code. declared: the task's own `expires`.
        """
        name = f"task {task!r}"
        if unknown:
            cures = celery_names.cures(unknown, celery_names.SENDING, written)
            given = ", ".join(unknown)
            raise TypeError(
                f"{name}: options() has no {given}; {cures or 'it takes delay, at, group, key and expires'}"
            )
        if not isinstance(self.delay, timedelta):
            raise TypeError(f"{name}: delay is {self.delay!r}, write delay=timedelta(seconds={self.delay!r})")
        if not NOW <= self.delay <= LONGEST_DELAY:
            raise ValueError(f"{name}: a delay of {self.delay} can't be kept, it lies between nothing and a year")
        if self.at is not None:
            self._check_at(name, self.at)
        if self.group is not None and not is_group(self.group):
            raise ValueError(f"{name}: SQS takes a group of 1-128 letters, digits and punctuation, not {self.group!r}")
        if (self.delay or self.at is not None) and queue.fifo:
            raise ValueError(f"{name}: its queue {queue.name!r} is FIFO, which delays no single message")
        if self.key is not None:
            self._check_key(name, self.key)
        self._check_expires(name, declared)

    def check_of_debounced(self, task: str, period: timedelta) -> None:
        """Raise ValueError for a wait that only a schedule could keep, or an expiry before its burst can be over.

        SQS would get the message at the end of that wait, so nobody could say which of two is the newer one.
        """
        if self.wait > MAX_DELAY:
            raise ValueError(
                f"task {task!r}: it is debounced, so it waits 15 minutes at most: enqueue it later, or from a task "
                "without debounce that has this delay"
            )
        expires_at = self.expires_at(None)
        if expires_at is not None and expires_at <= datetime.now(UTC) + self.wait + period:
            raise ValueError(
                f"task {task!r}: it runs once it has been quiet for {period}, and expires={self.expires} is before "
                "that: give a later time"
            )

    def _check_key(self, name: str, key: str) -> None:
        if not isinstance(key, str):
            raise TypeError(f"{name}: key is {key!r}, write a text")
        if lenient.is_no_text(key):
            zeros = "a key of zeros" if key else "an empty key"
            raise ValueError(f"{name}: {zeros} would make all its messages duplicates of each other")
        if len(key) > MOST_KEY:
            raise ValueError(f"{name}: a key has {MOST_KEY} characters at most, not {len(key)}: use a hash of it")
        try:
            key.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name}: its key holds half of a surrogate pair") from None

    def _check_expires(self, name: str, declared: timedelta | None) -> None:
        expires = self.expires
        if expires is not None and not isinstance(expires, timedelta | datetime):
            raise TypeError(f"{name}: expires is {expires!r}, write expires=timedelta(seconds={expires!r})")
        if isinstance(expires, datetime) and expires.utcoffset() is None:
            raise ValueError(
                f"{name}: expires={expires} has no time zone, so it can mean several instants: "
                "write datetime(..., tzinfo=UTC), or tzinfo=ZoneInfo('Europe/Berlin')"
            )
        try:
            expires_at = self.expires_at(declared)
        except OverflowError:
            raise ValueError(f"{name}: expires={expires} is later than any date: leave it out") from None
        if expires_at is None or expires_at > datetime.now(UTC) + self.wait:
            return
        if expires is None:
            raise ValueError(
                f"{name}: it expires {declared} after it is enqueued, and would not be due before: give a shorter "
                "delay, or options(expires=...) with a later time"
            )
        due = "is past" if not self.wait else f"isn't later than the {self.wait} that it is to wait"
        raise ValueError(f"{name}: expires={expires} {due}, so it would never run: give a later time")

    def _check_at(self, name: str, at: datetime) -> None:
        if not isinstance(at, datetime):
            raise TypeError(f"{name}: at is {at!r}, write a datetime with a time zone")
        if at.utcoffset() is None:
            raise ValueError(
                f"{name}: at={at} has no time zone, so it can mean several instants: "
                "write datetime(..., tzinfo=UTC), or tzinfo=ZoneInfo('Europe/Berlin')"
            )
        if self.delay:
            raise ValueError(f"{name}: delay and at both say when it runs: give one of them")
        if at - datetime.now(UTC) > LONGEST_DELAY:
            raise ValueError(f"{name}: at={at} can't be kept, it is more than a year from now")
