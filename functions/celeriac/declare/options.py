"""The options with which a task is enqueued: a delay or a time, a group, a key."""

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

    @property
    def wait(self) -> timedelta:
        """How long to wait from now. A time in the past means no wait."""
        return self.delay if self.at is None else max(self.at - datetime.now(UTC), NOW)

    def check(self, task: str, written: str, queue: Queue, unknown: Mapping[str, object]) -> None:
        """Raise ValueError for a wrong value, TypeError for a wrong type or an unknown option, naming task and cure.

        written: the name of the task's function in code.
        """
        name = f"task {task!r}"
        if unknown:
            cures = celery_names.cures(unknown, celery_names.SENDING, written)
            given = ", ".join(unknown)
            raise TypeError(f"{name}: options() has no {given}; {cures or 'it takes delay, at, group and key'}")
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

    def check_of_debounced(self, task: str) -> None:
        """Raise ValueError for a wait that only a schedule could keep.

        SQS would get the message at the end of that wait, so nobody could say which of two is the newer one.
        """
        if self.wait > MAX_DELAY:
            raise ValueError(
                f"task {task!r}: it is debounced, so it waits 15 minutes at most: enqueue it later, or from a task "
                "without debounce that has this delay"
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
