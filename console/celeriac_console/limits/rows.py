"""A row for each limit: what is declared, what is set, and how it stands now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celeriac.flow import overrides, rows
from celeriac.flow.overrides import Override
from celeriac.flow.standing import Standing, standing
from celeriac.model.limits import Limit
from celeriac_console.application.limited import Limited, kind_of, text_of
from celeriac_console.limits import items
from celeriac_console.limits.by import item_of
from celeriac_console.limits.written import override_text

MOST_SHOWN = 10
"""Of the items of a limit with a `by`, the busiest."""


@dataclass(frozen=True, slots=True)
class Set:
    """What an operator has set."""

    text: str
    by: str
    """Who. Empty if that isn't known."""
    at: datetime | None
    is_open: bool = False
    """Whether it holds a Breaker open."""


@dataclass(frozen=True, slots=True)
class ItemRow:
    """How the limit stands for some values of its `by`."""

    item: str
    """The hash of the values; `-` for a limit without `by`."""
    standing: Standing


@dataclass(frozen=True, slots=True)
class Row:
    """A limit."""

    name: str
    kind: str
    """rate, places or breaker; empty if no task declares it any more."""
    declared: str
    by: tuple[str, ...]
    tasks: tuple[str, ...]
    queues: tuple[str, ...]
    override: Set | None
    standing: Standing | None
    """None for a limit with `by`."""
    items: tuple[ItemRow, ...] = ()
    """Those that were looked up, or the busiest that were found."""
    found: int | None = None
    """How many items a scan has found; None if none was made."""

    @property
    def waiting(self) -> int | None:
        """About how many wait; None if that isn't known."""
        known = [self.standing] if self.standing is not None else [each.standing for each in self.items]
        numbers = [each.waiting for each in known if each.waiting is not None]
        return sum(numbers) if numbers else None


def read_rows(limits: Mapping[str, Limited]) -> list[Row]:
    """The rows of these limits, and of what is set for others. Items of limits with a `by` aren't read.

    No call is made if there is no limit. Raises AWS's errors, and NoFlowTableError.
    """
    if not limits:
        return []
    keys = {name: rows.of_limit(name, "") for name, each in limits.items() if not each.limit.names}
    found = items.read([rows.OVERRIDES, *keys.values()])
    is_set, now = overrides.in_item(found[rows.OVERRIDES]), rows.now()
    made = []
    for name, limited in limits.items():
        override = _read(is_set.get(name))
        stands = standing(limited.limit, found[keys[name]], override, now) if name in keys else None
        made.append(_row(limited, is_set.get(name), stands))
    return [*made, *(_removed(name, text) for name, text in sorted(is_set.items()) if name not in limits)]


def with_items(row: Row, limit: Limit, found: Mapping[str, Mapping[str, Any]], override: Override | None) -> Row:
    """The row with these items, the busiest first."""
    now = rows.now()
    made = [ItemRow(item_of(key), standing(limit, item, override, now)) for key, item in found.items()]
    made.sort(key=_busy, reverse=True)
    return Row(
        row.name, row.kind, row.declared, row.by, row.tasks, row.queues, row.override, row.standing,
        tuple(made[:MOST_SHOWN]), len(made),
    )  # fmt: skip


def busiest(made: Sequence[Row], limits: Mapping[str, Limited], name: str | None = None) -> tuple[list[Row], bool]:
    """The rows, those with a `by` with their busiest items, as far as a scan finds them. Also whether it was cut off.

    name: only this limit's. No call is made if no limit has a `by`. Raises AWS's errors, and NoFlowTableError.
    """
    if not any(limits[row.name].limit.names for row in made if row.name in limits and name in (None, row.name)):
        return list(made), False
    scanned = items.scan(name)
    texts = overrides.written()
    by_limit: dict[str, dict[str, Any]] = {}
    for key, item in scanned.items.items():
        by_limit.setdefault(key.split("#")[1], {})[key] = item
    return [
        with_items(row, limits[row.name].limit, by_limit.get(row.name, {}), _read(texts.get(row.name)))
        if row.name in limits and row.by and name in (None, row.name)
        else row
        for row in made
    ], scanned.is_cut


def looked_up(row: Row, limit: Limit, keys: Iterable[str]) -> Row:
    """The row with the items of these keys, also if they are empty. Raises AWS's errors, and NoFlowTableError."""
    return with_items(row, limit, items.read(keys), _read(overrides.written().get(row.name)))


def _busy(item: ItemRow) -> tuple[bool, int, int]:
    stands = item.standing
    return stands.holds, stands.waiting or 0, stands.used


def _row(limited: Limited, text: str | None, stands: Standing | None) -> Row:
    limit = limited.limit
    tasks, queues = tuple(task.name for task in limited.tasks), tuple(limited.queues)
    return Row(limit.name, kind_of(limit), text_of(limit), limit.names, tasks, queues, _set(text, limit), stands)


def _removed(name: str, text: str) -> Row:
    return Row(name, "", "no task names it", (), (), (), _set(text, None), None)


def _read(text: str | None) -> Override | None:
    return overrides.read(text) if text is not None else None


def _set(text: str | None, limit: Limit | None) -> Set | None:
    if text is None:
        return None
    override = overrides.read(text)
    if override is None:
        return Set("not readable: a newer release has set it", "", None)
    return Set(override_text(override, limit), override.by, override.at, override.is_open)
