"""What a job does: the part of it that knows about letters, or about the outbox."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Protocol

from celeriac_console.terminal.errors import UserError

REDRIVE, DISCARD, REPLAY, PREVIEW = "redrive", "discard", "replay", "preview"


@dataclass(frozen=True, slots=True)
class Number:
    """A number that a job shows."""

    name: str
    value: int
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What a preview has counted together."""

    name: str
    about: str
    count: int


@dataclass(frozen=True, slots=True)
class Start:
    """The form that does what a preview has counted."""

    url: str
    fields: Mapping[str, str]
    """What it sends beside the number of the preview's job, and the rate."""
    label: str
    """Of its button."""
    for_good: bool
    """Whether it can't be undone, so that the operator must say that they mean it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How far work is, as screens show it."""

    title: str
    chosen: Mapping[str, str]
    """The filter."""
    rate: float | None
    """The most a second; None for no limit."""
    count: int
    """To how many it was done."""
    seen: int
    """How many were looked at."""
    total: int
    """About how many there are to look at; 0 if that isn't known."""
    numbers: list[Number]
    notes: list[str]
    """Sentences about what was left out."""
    problems: list[str]
    """Of those to which it couldn't be done, the first."""
    rest: str
    """A sentence: what becomes of the rest, if the job ends early."""
    outcome: list[str]
    """For the activity: what else is to be said, in a few words each, without arguments."""
    command: str
    """The command line that does the same."""
    parts: list[Part] = field(default_factory=list)
    """Of a preview."""
    start: Start | None = None
    """Of a preview that has found something."""
    then: str = ""
    """The page where one goes on when it is done, if there is more to do."""

    def without_arguments(self) -> "Shown":
        """The same for who may not see arguments of tasks: the text that letters have to contain may be one."""
        if "text" not in self.chosen:
            return self
        return replace(self, chosen={**self.chosen, "text": "(not shown)"}, command="", start=None, then="")


class HeldUpError(UserError):
    """The work can't go on now. The job pauses: somebody resumes it when the reason is gone."""


class Work(Protocol):
    """Work that can be interrupted, and goes on where it was."""

    what: str
    """REDRIVE, DISCARD, REPLAY, or PREVIEW."""
    on: str
    """On what it works: a queue's name, or another word. Of jobs on the same, one works at a time."""

    @property
    def line(self) -> tuple[str, Mapping[str, str]] | None:
        """The action and its place for the activity; None for work that changes nothing."""

    def go_on(self, stop: Event) -> None:
        """Do the rest, or as much of it as is done when `stop` is set. Raises HeldUpError, and AWS's errors."""

    def shown(self) -> Shown:
        """How far it is."""

    def let_go(self) -> None:
        """It has ended: forget what takes much memory. `shown` isn't asked any more."""
