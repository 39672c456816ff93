"""Tasks of which one is enough: `Unique` among those that are equal, `Debounce` among those that follow each other.

This module is pure data.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from msgspec import Struct

from celeriac.model.errors import DeclarationError
from celeriac.model.limits import By, names_of, problem_of_by

LONGEST = timedelta(days=365)
# A debounced task's messages lie in their queue, whose longest delay is 15 minutes, and are sent on.
LONGEST_PERIOD = timedelta(hours=12)
LONGEST_WAIT = timedelta(days=7)

type Until = Literal["finished", "started"] | timedelta
type OnConflict = Literal["skip", "replace"]


class OnceError(DeclarationError):
    """A Unique or a Debounce was declared in a way that can't be kept."""


class Unique(Struct, frozen=True):
    """Of messages with the same values of `by`, one waits or runs at a time. Others are skipped.

    Raises OnceError for a declaration that can't be kept.
    """

    by: By
    """The parameters that make two messages the same work."""
    until: Until = "finished"
    """Until when the others are skipped: until it has ended, until it starts, or for a time after the enqueue."""
    on_conflict: OnConflict = "skip"
    """`skip`: the message that came first stays. `replace`, with `until="started"`: the last one runs in its place."""

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise OnceError(f"Unique: {problem}")

    def _problems(self) -> Iterator[str]:
        if (problem := problem_of_by(self.by)) is not None or not self.by:
            yield problem or "by is empty: name the parameters that make two messages the same work"
        if isinstance(self.until, timedelta):
            if not timedelta(seconds=1) <= self.until <= LONGEST:
                yield f"until is {self.until}, it lies between a second and a year"
        elif self.until not in {"finished", "started"}:
            yield f'until is {self.until!r}, write "finished", "started" or a timedelta'
        if self.on_conflict not in {"skip", "replace"}:
            yield f'on_conflict is {self.on_conflict!r}, write "skip" or "replace"'
        elif self.on_conflict == "replace" and self.until != "started":
            yield (
                'on_conflict="replace" needs until="started": a task that runs can\'t be replaced. Debounce runs the '
                "last of several"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters of `by`."""
        return names_of(self.by)


class Debounce(Struct, frozen=True):
    """Of messages with the same values of `by`, the last one runs, once none has come for `period`.

    Raises OnceError for a declaration that can't be kept.
    """

    period: timedelta
    """How long it must be quiet, 1 s to 12 h."""
    by: By
    """The parameters that make two messages the same work."""
    max_wait: timedelta | None = None
    """After this time it runs though messages keep coming; the default is ten periods. At most seven days."""

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise OnceError(f"Debounce: {problem}")

    def _problems(self) -> Iterator[str]:
        for name in ("period", "max_wait"):
            value = getattr(self, name)
            if not isinstance(value, timedelta) and (value is not None or name == "period"):
                yield f"{name} is {value!r}, write a timedelta, such as timedelta(seconds=5)"
                return
        if not timedelta(seconds=1) <= self.period <= LONGEST_PERIOD:
            yield f"period is {self.period}, it lies between a second and 12 hours"
        elif self.max_wait is not None and not self.period <= self.max_wait <= LONGEST_WAIT:
            yield f"max_wait is {self.max_wait}, it lies between the period, {self.period}, and seven days"
        if (problem := problem_of_by(self.by)) is not None or not self.by:
            yield problem or "by is empty: name the parameters that make two messages the same work"

    @property
    def longest(self) -> timedelta:
        """How long the first message waits at most."""
        return self.max_wait if self.max_wait is not None else min(10 * self.period, LONGEST_WAIT)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters of `by`."""
        return names_of(self.by)
