"""How a limit stands, as its item tells: pure decisions, for who looks at it from outside.

All numbers are rough. The line of slots is what an item tells of who waits: a task that hasn't asked yet isn't in it,
and neither is one whose slot has passed.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from celeriac.flow import breaker, places, rate, rows
from celeriac.flow.overrides import Override, pace_under, places_under
from celeriac.flow.rate import Pace
from celeriac.model.limits import Breaker, Concurrent, Limit, Rate

type State = Literal["free", "line", "blocked", "full", "closed", "open", "half-open", "held open"]

_SOON = 1_000_000
_HORIZON = rate.HORIZON.seconds * 1_000_000


class Standing(Struct, frozen=True):
    """How one item of a limit stands now."""

    state: State
    """free: a task may start. line: tasks wait for their slots. blocked: a provider has said so. full: all places are
    held. Of a Breaker: closed, open, half-open, or held open by an operator."""
    holds: bool
    """Whether a task that comes now has to wait."""
    used: int
    """The starts of the burst that are used up, the places that are held, the failures that are counted."""
    of: int
    """How many there are; of a Breaker, how many open it."""
    waiting: int | None
    """About how many tasks wait in line; None for a Breaker, which has no line."""
    waiting_is_more: bool = False
    """Whether more wait than fit into the line."""
    until: datetime | None = None
    """About when a task that comes now may start; None if it may now, or if nobody knows."""
    blocked_until: datetime | None = None
    """The end of a provider's "too many requests"."""
    since: datetime | None = None
    """Since when a Breaker is open."""


def standing(limit: Limit, item: Mapping[str, Any], override: Override | None, now: int) -> Standing:
    """How a limit stands, by its item, which is empty if there is none. `now` is in microseconds since 1970."""
    match limit:
        case Rate():
            return _of_rate(limit, item, override, now)
        case Concurrent():
            return _of_places(limit, item, override, now)
        case Breaker():
            return _of_breaker(limit, item, override, now)


def _of_rate(limit: Rate, item: Mapping[str, Any], override: Override | None, now: int) -> Standing:
    pace, line = pace_under(limit, override), rate.line_of(item)
    free = rate.free_at(line, pace, has_slot=True, now=now)
    until = rate.free_at(line, pace, has_slot=False, now=now)
    laid = _laid_at(limit, pace, override, now)
    waiting = max(-(-(line.promised - rate.free_at(line, laid, has_slot=True, now=now)) // laid.interval), 0)
    of = pace.burst // pace.interval + 1
    blocked, has_line = line.blocked > now, line.promised > now
    holds = blocked or has_line or free > now + _SOON
    return Standing(
        "blocked" if blocked else "line" if holds else "free",
        holds,
        min(max(-(-(line.spent - now) // pace.interval), 0), of),
        of,
        waiting,
        _is_long(line.promised, now),
        rows.instant(until) if until > now else None,
        rows.instant(line.blocked) if blocked else None,
    )


def _laid_at(limit: Rate, pace: Pace, override: Override | None, now: int) -> Pace:
    """The pace at which the line was laid. For as long as one may be, a new pace has an old line before it."""
    is_new = override is not None and override.at is not None and rows.microseconds(override.at) > now - _HORIZON
    return max(pace, pace_under(limit, None)) if is_new else pace


def _of_places(limit: Concurrent, item: Mapping[str, Any], override: Override | None, now: int) -> Standing:
    of = places_under(limit, override)
    used, interval, promised = places.used(item, now), places.interval(item, of), int(item.get("promised", 0))
    holds = used >= of or promised > now
    return Standing(
        "full" if used >= of else "line" if holds else "free",
        holds,
        used,
        of,
        # The first slot of a line is an interval away.
        max(-(-(promised - now) // interval) - 1, 0),
        _is_long(promised, now),
        rows.instant(promised) if promised > now else None,
    )


def _of_breaker(limit: Breaker, item: Mapping[str, Any], override: Override | None, now: int) -> Standing:
    failed, since = int(item.get("failed", 0)), item.get("opened_at")
    opened = rows.instant(int(since)) if since is not None else None
    if override is not None and override.is_open:
        return Standing("held open", True, failed, limit.failures, None, since=override.at or opened)
    state = breaker.state_of(item, now)
    until = 0
    if state == "open":
        until = int(item["open_until"])
    elif state == "half-open" and "probe" in item:
        until = int(item.get("probe_until", 0))
    holds = until > now
    return Standing(
        state, holds, failed, limit.failures, None, until=rows.instant(until) if holds else None, since=opened
    )


def _is_long(promised: int, now: int) -> bool:
    """Whether a line is so long that who comes now gets no slot."""
    return promised > now + _HORIZON
