"""Lengths of time in the texts of alarms."""

from datetime import timedelta

_UNITS = {"days": timedelta(days=1), "hours": timedelta(hours=1), "minutes": timedelta(minutes=1)}


def in_words(time: timedelta) -> str:
    """Return the time in the largest unit that divides it, such as `60 hours` for two and a half days."""
    for name, unit in _UNITS.items():
        if not time % unit:
            return f"{time // unit} {name if time != unit else name.removesuffix('s')}"
    return f"{time.total_seconds():.0f} seconds"
