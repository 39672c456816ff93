"""What an operator sets, as they type it and as they read it."""

import re
from datetime import timedelta

from celeriac.flow.overrides import Override
from celeriac.model.limits import Breaker, Concurrent, Limit, Rate
from celeriac_console.application.limited import rate_text
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.plural import counted

_UNITS = {
    "s": timedelta(seconds=1), "m": timedelta(minutes=1), "min": timedelta(minutes=1), "h": timedelta(hours=1),
    "d": timedelta(days=1),
}  # fmt: skip
_A_UNIT = re.compile(r"(\d{1,9})\s*/\s*(s|min|m|h|d)")
_IN_A_TIME = re.compile(r"(\d{1,9})\s+in\s+(\d{1,6})\s*(s|min|m|h|d)")
_PLACES = re.compile(r"\d{1,9}")


def override_of(limit: Limit, text: str, burst: int | None) -> Override:
    """What `text` sets for a limit: `50/min` or `10 in 5m` for a Rate, a number of places for a Concurrent.

    Raises UserError for another text, and LimitError for numbers that can't be kept.
    """
    name = limit.name
    match limit:
        case Breaker():
            opened = command("limits", "open", name)
            raise UserError(f"{name} is a Breaker, it has no number to set: {opened} holds it open")
        case Concurrent():
            if not _PLACES.fullmatch(text.strip()):
                raise UserError(f"{text!r} is no number of places: write e.g. {command('limits', 'set', name, '3')}")
            if burst is not None:
                raise UserError(f"{name} has places, and no burst: leave --burst out")
            return Override(limit=Concurrent(name, int(text)).places)
        case Rate():
            number, per = _rate(name, text)
            checked = Rate(name, number, per=per, burst=burst)
            return Override(checked.limit, per // timedelta(microseconds=1), burst)


def _rate(name: str, text: str) -> tuple[int, timedelta]:
    if (found := _A_UNIT.fullmatch(text.strip())) is not None:
        return int(found[1]), _UNITS[found[2]]
    if (found := _IN_A_TIME.fullmatch(text.strip())) is not None:
        return int(found[1]), int(found[2]) * _UNITS[found[3]]
    example = command("limits", "set", name, "50/min")
    raise UserError(f"{text!r} is no rate: write e.g. {example}; also 100/s, 5/h, 5000/d, or '10 in 5m'")


def override_text(override: Override, limit: Limit | None) -> str:
    """What an override says; if it was set for a limit of another kind, that it counts for nothing.

    limit: None if no task names it any more.
    """
    if override.is_open:
        said, fits = "held open", isinstance(limit, Breaker)
    elif override.per_microseconds:
        per = timedelta(microseconds=override.per_microseconds)
        said, fits = rate_text(override.limit or 0, per, override.burst), isinstance(limit, Rate)
    else:
        said, fits = counted(override.limit or 0, "place"), isinstance(limit, Concurrent)
    return said if fits or limit is None else f"{said}: without effect, for the limit is of another kind now"
