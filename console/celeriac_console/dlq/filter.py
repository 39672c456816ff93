"""The conditions by which a command chooses dead letters."""

from dataclasses import dataclass
from datetime import datetime

from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.model.following import OfBatch
from celeriac.model.message import MalformedMessageError, NewerVersionError, decode
from celeriac_console.dlq.letter import died_at, kind_of, reason_of
from celeriac_console.terminal.times import instant


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions that a letter must meet. None means any value."""

    task: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    contains: str | None = None
    batch: OfBatch | None = None
    """The batch, in one of its epochs, that the letter must be a member of."""

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
            and (self.batch is None or _is_member(letter, self.batch))
        )


def filter_of(
    task: str | None, error: str | None, since: str | None, until: str | None, contains: str | None
) -> Filter:
    """The filter for a command's options. Raises UserError for a time that can't be read."""
    after, before = (instant(text) if text is not None else None for text in (since, until))
    return Filter(task, error, after, before, contains)


def _is_member(letter: DeadLetter, batch: OfBatch) -> bool:
    try:
        its = decode(letter.body).batch
    except (MalformedMessageError, NewerVersionError):
        return False
    return its is not None and its.index is not None and (its.id, its.epoch) == (batch.id, batch.epoch)


def _wording(letter: DeadLetter) -> str:
    failure = letter.failure
    error = f"{failure.type}: {failure.message}" if failure is not None else ""
    return f"{reason_of(letter)}\n{error}\n{kind_of(letter)}"
