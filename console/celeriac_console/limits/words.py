"""How a limit stands, in a few words."""

from datetime import UTC, datetime

from celeriac.flow.standing import Standing
from celeriac_console.limits.rows import Row
from celeriac_console.terminal.plural import counted


def now_text(stands: Standing) -> str:
    """How an item of a limit stands now.

    >>> now_text(Standing("full", True, 5, 5, 3))
    '5 of 5 places are held, about 3 wait'
    """
    until = f" until {_time(stands.until)}" if stands.until is not None else ""
    match stands.state:
        case "held open":
            return "held open: all wait"
        case "open":
            return f"open{until}: all wait"
        case "half-open":
            return f"half-open: one tries{until}" if until else "half-open: the next one tries"
        case "closed":
            return f"closed, {stands.used} of {stands.of} failures" if stands.used else "closed"
        case "full":
            return f"{stands.used} of {stands.of} places are held{_waiting(stands)}"
        case "blocked":
            blocked = _time(stands.blocked_until) if stands.blocked_until is not None else "later"
            return f"the provider refuses until {blocked}{_waiting(stands)}"
        case "line":
            return f"about {_number(stands)} wait{until}" if stands.waiting else f"the next start is at{until[6:]}"
        case "free":
            return f"free, {stands.used} of {stands.of} in use"


def row_text(row: Row) -> str:
    """How a limit stands now, as far as it was read."""
    if row.standing is not None:
        return now_text(row.standing)
    if not row.by:
        return "-"
    if row.found is None:
        each = f"one for each {' and '.join(row.by)}"
        return f"held open: all wait; {each}" if row.override is not None and row.override.is_open else each
    holding = sum(each.standing.holds for each in row.items)
    most = "+" if holding == len(row.items) < row.found else ""
    return f"{counted(row.found, 'item')}, {holding}{most} of them {'holds' if holding == 1 else 'hold'} tasks up"


def _waiting(stands: Standing) -> str:
    return f", about {_number(stands)} wait" if stands.waiting else ""


def _number(stands: Standing) -> str:
    return f"{stands.waiting or 0:,}" + (" or more" if stands.waiting_is_more else "")


def _time(at: datetime) -> str:
    """The time of the day, with the day if that isn't today."""
    return f"{at:%H:%M:%S}Z" if at.date() == datetime.now(UTC).date() else f"{at:%Y-%m-%d %H:%M:%S}Z"
