"""What the activity knows of one dead letter: its redrives, and those of its queue that may have held it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from celeriac_console.web.activity.store import Line

REDRIVE = "dlq redrive"


@dataclass(frozen=True, slots=True)
class Redrive:
    """A redrive of the letter, or perhaps of it."""

    line: Line
    is_certain: bool
    """False for one of several letters: the activity keeps its filter, not the letters."""


def redrives(lines: Sequence[Line], queue: str, id_: str, sent_at: datetime, task: str) -> list[Redrive]:
    """The redrives of a letter among lines of the activity, the newest first.

    sent_at: when its message was sent first: an earlier redrive can't have held it.
    """
    found = [line for line in lines if line.what == REDRIVE and line.where.get("queue") == queue]
    of_it = [Redrive(line, is_certain=True) for line in found if line.where.get("id") == id_]
    of_many = [
        Redrive(line, is_certain=False)
        for line in found
        if "id" not in line.where and line.begun_at >= sent_at and line.where.get("task", task) == task and line.count
    ]
    return sorted([*of_it, *of_many], key=lambda each: -each.line.number)
