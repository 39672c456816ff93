"""Durations as people type and read them."""

import re
from datetime import timedelta

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


def words(time: timedelta) -> str:
    """A duration as text.

    >>> words(timedelta(hours=1, seconds=30))
    '1 h 30 s'
    """
    seconds = int(time.total_seconds())
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
