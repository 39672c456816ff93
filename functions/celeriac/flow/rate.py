"""A `Rate`: exact starts, promised returns.

Its item holds two virtual times. `spent` belongs to the starts: each start moves it on by the interval between two, and
none is given that would leave it more than the burst ahead of now. So any window of the length w holds at most
`burst + w/interval` starts. `promised` only says when to come back: who must wait takes the next slot, and keeps it.
`blocked` is the end of a provider's "too many requests".

One virtual time can't do both. If slots that nobody comes for lapse, late deliveries use up the limit; if they don't,
everything that waited during a pause starts at once after it: docs/decisions/0048-limits.md.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from celeriac.flow import rows
from celeriac.flow.rows import Seen, Write

# A start that is this close is waited for by the worker itself.
SOON = timedelta(seconds=1)
# SQS's longest delay. Slots beyond it are given to nobody.
HORIZON = timedelta(minutes=15)
_SOON, _HORIZON = SOON // timedelta(microseconds=1), HORIZON // timedelta(microseconds=1)
# A lane that has its start begins its task a little later.
SLACK = 50_000
# Others may write between a refusal and the next try.
MOST_TRIES = 5


class Pace(NamedTuple):
    """The numbers of a rate, in microseconds."""

    interval: int
    """Between two starts."""
    burst: int
    """How far `spent` may be ahead of now: the interval for each start of a burst but the first."""


class Start(NamedTuple):
    """A start that was taken."""

    at: int
    """When it may be made."""
    until: int
    """After this instant it must not be made any more: it would be too close to the next one."""


class Line(NamedTuple):
    """What an item says."""

    spent: int
    promised: int
    blocked: int


def line_of(item: Mapping[str, Any]) -> Line:
    """What a rate's item says; an attribute that it lacks is in the past."""
    return Line(int(item.get("spent", 0)), int(item.get("promised", 0)), int(item.get("blocked", 0)))


def free_at(line: Line, pace: Pace, *, has_slot: bool, now: int) -> int:
    """When a message may start, as far as this line tells. In the past, or now: it may be tried."""
    free = max(line.spent - pace.burst, line.blocked)
    return max(free, now) if has_slot or line.promised <= now else max(free, line.promised)


def take(key: str, pace: Pace, wanted: int, *, has_slot: bool, seen: Seen) -> list[Start]:
    """Take up to `wanted` starts, in one write if nobody interferes. Empty if none is free within a second.

    has_slot: they are for messages whose slots have come, so the line of slots doesn't hold them up.
    seen: the items as they were read, which decide what is tried first.

    Raises AWS's errors.
    """
    for _ in range(MOST_TRIES):
        line, now = line_of(seen.get(key, {})), rows.now()
        if free_at(line, pace, has_slot=has_slot, now=now) > now + _SOON or line.blocked > now:
            return []
        if line.promised > now and not has_slot:
            return []  # it has to stand in line, though the front of the line is near
        count = min(wanted, _most(line, pace, now))
        write = _write(pace, count, now, is_idle=line.spent < now, has_slot=has_slot)
        if (written := rows.written(key, write, seen, lives_until=holds_until(line, pace, now))) is not None:
            first = int(written["spent"]) - count * pace.interval
            return [_start(first + number * pace.interval, pace, now) for number in range(count)]
    return []


def holds_until(line: Line, pace: Pace, now: int) -> int:
    """Until when `spent` may hold. Whoever writes the item must let it live that long: one that is deleted earlier
    forgets starts. With one start a day that is many days.
    """
    return max(line.spent, now + pace.burst + pace.interval + _SOON)


def _most(line: Line, pace: Pace, now: int) -> int:
    """How many starts lie within the burst and the next second."""
    return max(1, (now + pace.burst + _SOON - max(line.spent, now)) // pace.interval + 1)


def _start(virtual: int, pace: Pace, now: int) -> Start:
    return Start(max(now, virtual - pace.burst), max(now, virtual) + SLACK)


def _write(pace: Pace, count: int, now: int, *, is_idle: bool, has_slot: bool) -> Write:
    conditions = ["(attribute_not_exists(blocked) OR blocked <= :now)"]
    if not has_slot:
        conditions.append("(attribute_not_exists(promised) OR promised <= :now)")
    values = {":now": now}
    if is_idle:
        conditions.append("(attribute_not_exists(spent) OR spent < :now)")
        return Write(" AND ".join(conditions), values | {":spent": now + count * pace.interval}, ["spent = :spent"])
    last = now + pace.burst + _SOON - (count - 1) * pace.interval
    conditions.append("spent BETWEEN :now AND :last")
    return Write(
        " AND ".join(conditions), values | {":last": last, ":taken": count * pace.interval}, ["spent = spent + :taken"]
    )


def reserve(key: str, interval: int, wanted: int, *, free: int, seen: Seen, holds: int = 0) -> list[int]:
    """Take up to `wanted` slots at the end of the line, in one write if nobody interferes. Empty if it is too long.

    No slot but the first lies beyond the horizon. One that does would keep its message from starting even when an
    operator has raised the limit, and a wrong guess of how long places are held would let them stand empty for days.

    free: when the next start may be made if there is no line: there the line begins.
    holds: until when the item holds something else.

    Raises AWS's errors.
    """
    for _ in range(MOST_TRIES):
        now = rows.now()
        promised = int(seen.get(key, {}).get("promised", 0))
        if promised > now + _HORIZON:
            return []
        begin = max(now, free) if promised <= now else promised
        count = max(1, min(wanted, (now + _HORIZON - begin) // interval))
        length = count * interval
        if promised <= now:
            write = Write(
                "attribute_not_exists(promised) OR promised <= :now",
                {":now": now, ":promised": begin + length},
                ["promised = :promised"],
            )
        else:
            write = Write(
                "promised BETWEEN :now AND :horizon",
                {":now": now, ":horizon": now + _HORIZON, ":length": length},
                ["promised = promised + :length"],
            )
        if (written := rows.written(key, write, seen, lives_until=max(begin + length, holds))) is not None:
            first = int(written["promised"]) - length
            return [first + number * interval for number in range(count)]
    return []


def adopt(key: str, pace: Pace, seen: Seen) -> None:
    """Forget what an item holds of a slower pace. Raises AWS's errors.

    After ten starts of ten a day, `spent` is a day ahead. If a deploy or an operator then allows a hundred a second,
    nobody should wait until tomorrow. The new pace begins with its burst used up.
    """
    line, now = line_of(seen.get(key, {})), rows.now()
    is_slower = line.spent > now + pace.burst + pace.interval + _HORIZON
    is_longer = line.promised > max(now + 3 * _HORIZON, line.blocked) + 2 * pace.interval
    if not (is_slower or is_longer):
        return
    conditions, sets, values = [], [], dict[str, object]()
    for name, instant, is_old, new in (
        ("spent", line.spent, is_slower, now + pace.burst),
        ("promised", line.promised, is_longer, max(now, line.blocked)),
    ):
        if is_old:
            conditions.append(f"{name} = :{name}_seen")
            sets.append(f"{name} = :{name}_new")
            values |= {f":{name}_seen": instant, f":{name}_new": new}
    write = Write(" AND ".join(conditions), values, sets)
    rows.written(key, write, seen, lives_until=max(line.promised, line.blocked, holds_until(line, pace, now)))


def block(key: str, until: int, *, holds: int) -> None:
    """Let nobody start before `until`: the provider has said so. Raises AWS's errors.

    holds: until when the item holds something else.
    """
    for name in ("blocked", "promised"):
        # Each only moves on: a shorter wait of another task must not end this one, nor let anybody overtake the line.
        rows.update(
            key,
            Write(f"attribute_not_exists({name}) OR {name} < :until", {":until": until}, [f"{name} = :until"]),
            lives_until=max(until, holds),
        )
