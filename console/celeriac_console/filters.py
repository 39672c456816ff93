"""Which dead letters a command is about."""

from dataclasses import dataclass
from datetime import datetime

from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.model.failure import fingerprint
from celeriac.model.reason import Reason
from celeriac_console.known import instant

TOO_OFTEN = Reason.RECEIVED_TOO_OFTEN
"""The reason of what SQS moved by itself."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a letter must have; whatever is None it may have."""

    task: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    contains: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether it leaves nothing out."""
        return self == Filter()

    def matches(self, letter: DeadLetter) -> bool:
        """Whether `letter` is meant."""
        died = died_at(letter)
        return (
            (self.task is None or letter.task == self.task)
            and (self.error is None or self.error.lower() in _wording(letter).lower())
            and (self.since is None or died >= self.since)
            and (self.until is None or died < self.until)
            and (self.contains is None or self.contains in letter.body)
        )


def filter_of(
    task: str | None, error: str | None, since: str | None, until: str | None, contains: str | None
) -> Filter:
    """The filter that a command's options mean. Raises UserError."""
    after, before = (instant(text) if text is not None else None for text in (since, until))
    return Filter(task, error, after, before, contains)


def died_at(letter: DeadLetter) -> datetime:
    """When it failed for the last time; when it came to its queue, where nobody noted that."""
    failure = letter.failure
    return failure.last_at if failure is not None and failure.last_at is not None else letter.sent_at


def attempts_of(letter: DeadLetter) -> int:
    """Runs that were counted against it."""
    return letter.failure.attempts if letter.failure is not None else 0


def kind_of(letter: DeadLetter) -> str:
    """The fingerprint of its failure: letters of one kind failed alike. What SQS moved by itself is one kind a task."""
    failure = letter.failure
    if failure is None or failure.reason == TOO_OFTEN:  # the latter after an import, which notes it
        return f"sqs:{letter.task}"
    return fingerprint(letter.task, failure)


def reason_of(letter: DeadLetter) -> str:
    """Why it is dead, in a word or two."""
    return letter.failure.reason if letter.failure is not None else TOO_OFTEN


def _wording(letter: DeadLetter) -> str:
    failure = letter.failure
    error = f"{failure.type}: {failure.message}" if failure is not None else ""
    return f"{reason_of(letter)}\n{error}\n{kind_of(letter)}"
