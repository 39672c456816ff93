"""How far a task says that it is."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

MOST_UNIT = 40
"""Characters."""
MOST = 10**15
"""Readers of JSON in other languages know whole numbers up to 2**53."""


ATTRIBUTE = "progress"
"""Of a record: the message's id, a blank, and a `Progress` as JSON."""


class Progress(msgspec.Struct, frozen=True):
    """How far a task was when it last said so."""

    done: int | float
    total: int | float | None
    """None if the task doesn't know it."""
    unit: str
    """What is counted, such as `rows`; may be empty."""
    at: datetime

    @property
    def share(self) -> float | None:
        """Between 0 and 1; None if the total isn't known."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total else None

    def __str__(self) -> str:
        of = f" of {_number(self.total)}" if self.total is not None else ""
        share = f" ({self.share:.0%})" if self.share is not None else ""
        return f"{_number(self.done)}{of}{f' {self.unit}' if self.unit else ''}{share}"


def progress_of(record: Mapping[str, Any], message_id: str) -> Progress | None:
    """The last report of a message; None if the record has none of it."""
    holder, _, text = str(record.get(ATTRIBUTE, "")).partition(" ")
    if not text or holder != message_id:
        return None
    try:
        return msgspec.json.decode(text, type=Progress)
    except msgspec.MsgspecError:
        return None  # a newer release wrote it


def check(done: object, total: object, unit: object) -> None:
    """Raise TypeError for a wrong type, and ValueError for numbers that say nothing or a unit that is too long."""
    for name, number in (("done", done), ("total", total)):
        if number is None and name == "total":
            continue
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError(f"progress(): {name} is {number!r}, write a number")
        if not 0 <= number <= MOST:
            raise ValueError(f"progress(): {name} isn't a number from 0 to {MOST:,}")
    if not isinstance(unit, str):
        raise TypeError(f"progress(): unit is {unit!r}, write a text such as 'rows'")
    if len(unit) > MOST_UNIT:
        raise ValueError(f"progress(): unit has {len(unit)} characters, and {MOST_UNIT} at most are kept")


def _number(number: float | None) -> str:
    return f"{number:,.2f}".rstrip("0").rstrip(".") if isinstance(number, float) else f"{number:,}"
