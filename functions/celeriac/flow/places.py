"""A `Concurrent`: places, each held by a token that ends with its worker's time.

The token is random for each claim. If it were the task's id, a duplicate's end would free the place of the original.
"""

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from celeriac.flow import rows
from celeriac.flow.rows import Item, Seen, Write

# How much a new measurement counts in the mean of how long a place is held.
_NEW_SHARE = 5
# Nothing is known yet.
FIRST_HOLD = 1_000_000
# Of a hundred that have lapsed, each try removes twenty.
_MOST_TRIES = 8
# Of those that have lapsed, a write removes so many: an expression has at most 4 KB.
_MOST_REMOVED = 20


class Place(NamedTuple):
    """A place that is held."""

    token: str
    since: int
    until: int
    """When it is free in any case: the end of the worker's time."""


def take(key: str, places: int, *, until: datetime, seen: Seen) -> Place | None:
    """Take a place; None if all are held. Raises AWS's errors."""
    token, end = os.urandom(6).hex(), rows.microseconds(until)
    for number in range(_MOST_TRIES):
        now, item = rows.now(), seen.get(key, {})
        holders = holders_of(item)
        lapsed = {token: its_end for token, its_end in holders.items() if its_end < now}
        # What was read may be old: the first write is made anyway, and tells what is true.
        if number and not lapsed and len(holders) >= places:
            return None
        if len(holders) - len(lapsed) < places <= len(holders) - _MOST_REMOVED:
            # There were more places before. An expression has no room for all that have lapsed.
            _remove(key, lapsed, seen)
            continue
        write = _write(token, end, lapsed, places, has_map="holders" in item)
        if rows.change(key, write, seen, lives_until=end) or token in holders_of(seen[key]):
            return Place(token, now, end)  # the second: an earlier try was carried out, and its answer was lost
    return None


def _remove(key: str, lapsed: Mapping[str, int], seen: Seen) -> None:
    gone = list(lapsed.items())[:_MOST_REMOVED]
    write = Write(
        " AND ".join(f"holders.#old{number} = :old{number}" for number in range(len(gone))),
        {f":old{number}": at for number, (_, at) in enumerate(gone)},
        removes=[f"holders.#old{number}" for number in range(len(gone))],
        names={f"#old{number}": token for number, (token, _) in enumerate(gone)},
    )
    rows.change(key, write, seen)


def _write(token: str, end: int, lapsed: Mapping[str, int], places: int, *, has_map: bool) -> Write:
    if not has_map:
        return Write("attribute_not_exists(holders)", {":made": {token: end}}, ["holders = :made"])
    gone = list(lapsed.items())[:_MOST_REMOVED]
    conditions = ["size(holders) < :places", *(f"holders.#old{number} = :old{number}" for number in range(len(gone)))]
    return Write(
        " AND ".join(conditions),
        {":end": end, ":places": places + len(gone), **{f":old{number}": at for number, (_, at) in enumerate(gone)}},
        ["holders.#new = :end"],
        [f"holders.#old{number}" for number in range(len(gone))],
        names={"#new": token, **{f"#old{number}": token for number, (token, _) in enumerate(gone)}},
    )


def give_back(key: str, place: Place, seen: Item) -> None:
    """Free a place, and note how long it was held. Raises AWS's errors."""
    held = max(rows.now() - place.since, 1)
    before = int(seen.get("held", 0))
    mean = held if not before else before + (held - before) // _NEW_SHARE
    rows.update(
        key,
        # If it isn't there any more, another worker has taken it for a dead one's.
        Write(
            "attribute_exists(holders.#token)",
            {":held": mean},
            ["held = :held"],
            ["holders.#token"],
            names={"#token": place.token},
        ),
        lives_until=place.until,
    )


def holders_of(item: Mapping[str, Any]) -> dict[str, int]:
    """Who holds places, with the ends of their times."""
    return {token: int(end) for token, end in (item.get("holders") or {}).items()}


def used(item: Mapping[str, Any], now: int) -> int:
    """How many places are held now."""
    return sum(end >= now for end in holders_of(item).values())


def interval(item: Mapping[str, Any], places: int) -> int:
    """About how many microseconds lie between two places that become free."""
    return max(1_000, int(item.get("held", FIRST_HOLD)) // places)
