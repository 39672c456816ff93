"""How templates write times, numbers and addresses."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup

from celeriac.model.reason import Reason
from celeriac_console.runs.table import took
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.text import json_text

MINUTE, HOUR, DAY = 60, 3600, 86400
_REASONS: Mapping[str, Reason] = {str(reason): reason for reason in Reason}


def ago(at: datetime | None) -> Markup:
    """A time relative to now, with the exact one on hover."""
    if at is None:
        return Markup('<span class="none">not known</span>')
    exact = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(), exact, relative((datetime.now(UTC) - at).total_seconds())
    )


def relative(seconds: float) -> str:
    """Seconds since a time, or before one if they are negative, as people say it.

    >>> relative(7300)
    '2 h ago'
    """
    length = span(abs(seconds))
    return "just now" if length == "0 s" else f"{length} ago" if seconds >= 0 else f"in {length}"


def span(seconds: float | None) -> str:
    """A length of time in its largest unit."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if whole >= 2 * size or (size == HOUR and whole >= size):
            return f"{whole // size} {unit}"
    return f"{whole} s"


def number(value: float | None) -> str:
    """A number with thin spaces between thousands; a dash for None."""
    return "-" if value is None else f"{value:,.0f}".replace(",", "\u202f")


def address(path: str, query: Mapping[str, object] | None = None, /, **more: object) -> str:
    """A path with its filters. A value that is None or empty is left out."""
    given = {name: value for name, value in {**(query or {}), **more}.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def part(text: object) -> str:
    """A text as one part of a path, whatever is in it."""
    return quote(str(text), safe="")


def moment(text: object) -> str:
    """A text; one that is an instant in ISO 8601 as people read it.

    >>> moment("2026-11-22T03:00:00.000001+00:00")
    '2026-11-22 03:00:00 UTC'
    """
    try:
        at = datetime.fromisoformat(str(text))
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at.tzinfo is not None else str(text)
    except (ValueError, OverflowError):  # of the years 1 and 9999, some can't be written in UTC
        return str(text)


def who(name: str) -> str:
    """An operator's name; of an ARN what follows the account, which is the page's own.

    >>> who("arn:aws:sts::111122223333:assumed-role/operator/ann")
    'assumed-role/operator/ann'
    """
    return name.split(":", 5)[-1] if name.startswith("arn:") else name


def meaning(reason: str) -> str:
    """What the reason of a dead letter says; empty for one of a newer release."""
    return _REASONS[reason].meaning if reason in _REASONS else ""


def cure(reason: str) -> str:
    """What to do about the reason of a dead letter; empty for one of a newer release."""
    return _REASONS[reason].cure if reason in _REASONS else ""


FILTERS: Mapping[str, Callable[..., Any]] = {
    "ago": ago,
    "span": span,
    "number": number,
    "address": address,
    "part": part,
    "counted": counted,
    "moment": moment,
    "who": who,
    "took": took,
    "meaning": meaning,
    "cure": cure,
    "compact": json_text,
    "json": lambda value: json_text(value, indent=2),
}
