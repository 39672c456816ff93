"""The conditions by which a command chooses delayed tasks."""

from dataclasses import dataclass
from datetime import datetime

from celeriac_console.delayed.waiting import Waiting
from celeriac_console.terminal.times import coming


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions that a delayed task must meet. None means any value."""

    task: str | None = None
    after: datetime | None = None
    before: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether the filter has no condition."""
        return self == Filter()

    def matches(self, one: Waiting) -> bool:
        """Whether a task meets every condition. One without a due time meets no condition on it."""
        if self.task is not None and one.task != self.task:
            return False
        if one.due is None:
            return self.after is None and self.before is None
        return (self.after is None or one.due >= self.after) and (self.before is None or one.due < self.before)

    def absolute(self) -> dict[str, datetime | None]:
        """The options for the times, for a command that is typed again: a relative time becomes an absolute one."""
        return {"from": self.after, "until": self.before}


def filter_of(task: str | None, from_: str | None, until: str | None) -> Filter:
    """The filter for a command's options. Raises UserError for a time that can't be read."""
    after, before = (coming(text) if text is not None else None for text in (from_, until))
    return Filter(task, after, before)
