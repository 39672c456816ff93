"""Durations and times as people type and read them."""

import re
from datetime import UTC, datetime, timedelta

from celeriac_console.terminal.errors import UserError

LONGEST = timedelta(days=3650)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """Parse `90s`, `5m`, `2h` or `7d`. Raises UserError for another text, and for more than ten years.

    >>> duration("2h")
    datetime.timedelta(seconds=7200)
    """
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if match is None:
        raise UserError(f"{text!r} is no length of time: write e.g. 90s, 5m, 2h or 7d")
    length = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if length > LONGEST:
        raise UserError(f"{text!r} is more than ten years")
    return length


def duration_text(length: timedelta) -> str:
    """A duration as text.

    >>> duration_text(timedelta(hours=1, seconds=30))
    '1 h 30 s'
    """
    seconds = int(length.total_seconds())
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def instant(text: str) -> datetime:
    """Parse an ISO 8601 time such as `2026-11-22T03:00`, or a time ago such as `2h`. UTC unless a time zone is given.

    Raises UserError for another text.
    """
    return _instant(text, -1, "2h for two hours ago")


def coming(text: str) -> datetime:
    """Like `instant`, but `2h` is a time to come: in two hours."""
    return _instant(text, 1, "2h for in two hours")


def _instant(text: str, sign: int, example: str) -> datetime:
    try:
        return datetime.now(UTC) + sign * duration(text)
    except UserError:
        pass
    try:
        at = datetime.fromisoformat(text)
        zoned = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        zoned.astimezone(UTC)  # of the years 1 and 9999, some can't be written in UTC
    except (ValueError, OverflowError):
        raise UserError(f"{text!r} is no time: write e.g. {example}, or 2026-11-22T03:00") from None
    return zoned


def instant_text(at: datetime | None) -> str:
    """A time as text, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z" if at is not None else "a time that is not stored"
