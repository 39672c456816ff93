"""Filter dead letters, and read their properties."""

from dataclasses import dataclass
from datetime import datetime

from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.model.failure import fingerprint
from celeriac.model.reason import Reason
from celeriac_console.known import instant

TOO_OFTEN = Reason.RECEIVED_TOO_OFTEN
"""The reason of letters that SQS itself moved to the dead-letter queue."""


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions that a letter must meet. None means any value."""

    task: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    contains: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether the filter has no condition, so that every letter matches."""
        return self == Filter()

    def matches(self, letter: DeadLetter) -> bool:
        """Whether `letter` meets every condition."""
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
    """The filter for a command's options. Raises UserError for a time that can't be read."""
    after, before = (instant(text) if text is not None else None for text in (since, until))
    return Filter(task, error, after, before, contains)


def died_at(letter: DeadLetter) -> datetime:
    """When the letter failed for the last time. If no time is noted, when its message was sent."""
    failure = letter.failure
    return failure.last_at if failure is not None and failure.last_at is not None else letter.sent_at


def attempts_of(letter: DeadLetter) -> int:
    """How many attempts were charged to the letter."""
    return letter.failure.attempts if letter.failure is not None else 0


def kind_of(letter: DeadLetter) -> str:
    """The fingerprint of the letter's failure: letters of one kind have the same failure.

    The letters of one task that SQS itself moved are one kind.
    """
    failure = letter.failure
    if failure is None or failure.reason == TOO_OFTEN:  # an import adds such a failure to a letter that had none
        return f"sqs:{letter.task}"
    return fingerprint(letter.task, failure)


def reason_of(letter: DeadLetter) -> str:
    """Why the message became a dead letter, in a few words."""
    return letter.failure.reason if letter.failure is not None else TOO_OFTEN


def _wording(letter: DeadLetter) -> str:
    failure = letter.failure
    error = f"{failure.type}: {failure.message}" if failure is not None else ""
    return f"{reason_of(letter)}\n{error}\n{kind_of(letter)}"
