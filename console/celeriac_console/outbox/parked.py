"""The parked rows of the outbox, a page at a time, without what they carry."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celeriac.aws.items import plain
from celeriac.relay import unpublished


@dataclass(frozen=True, slots=True)
class Parked:
    """A row that can't be published unless something changes."""

    aggregate: str
    id: str
    type: str
    occurred_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some parked rows, oldest first."""

    rows: list[Parked]
    after: datetime | None
    """Where the next page begins; None if this is the last one."""


def page(after: datetime | None = None, most: int = 50) -> Page:
    """Read the rows that occurred at or after an instant: no more than `most`, up to 100."""
    rows: list[Parked] = []
    for row in unpublished.parked(after=after, most=most + 1):
        rows.append(_parked(row))
        if len(rows) > most:
            break
    return Page(rows[:most], rows[most].occurred_at if len(rows) > most else None)


def _parked(row: unpublished.Row) -> Parked:
    item: dict[str, Any] = plain(row) or {}
    return Parked(
        str(item.get("pk", "")),
        str(item.get("sk", "")),
        str(item.get("type", "")),
        unpublished.time_of(str(item.get("occurred_at", ""))),
        str(item.get("reason", "")),
    )
