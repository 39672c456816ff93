"""When a schedule fires next, to tell whether a firing comes late.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import calendar
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

type CatchUp = Literal["one", "all", "none"]
"""Which firings run that come late: about one for each time of delay, all of them, or none."""
CATCH_UP: tuple[CatchUp, ...] = CatchUp.__value__.__args__
LATE = timedelta(minutes=5)
"""A firing that comes later than this is late. Scheduler itself is up to a minute late."""

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_CRON = re.compile(r"cron\(([^()]*)\)")
_NAMES: Mapping[str, int] = {name: i for i, name in enumerate(calendar.month_abbr) if name} | {
    name: i for i, name in enumerate(("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"), 1)
}
_BY_NAME = {name.upper(): number for name, number in _NAMES.items()}
# A schedule that doesn't fire within this time, such as one for the 29th of February, is taken for one that has ended.
_SEARCHED_DAYS = 5 * 366


class _UnknownFormError(ValueError):
    """A part of a cron expression that isn't read here, such as `15W`."""


def is_late(schedule: str, timezone: str, planned: datetime, now: datetime) -> bool:
    """Whether a firing that was planned for `planned` comes late: after `LATE`, or when the next one is due."""
    return now - planned > LATE or is_followed(schedule, timezone, planned, now)


def is_followed(schedule: str, timezone: str, planned: datetime, now: datetime) -> bool:
    """Whether the firing after `planned` is due."""
    following = next_after(schedule, timezone, planned)
    return following is not None and following <= now


def next_after(schedule: str, timezone: str, instant: datetime) -> datetime | None:
    """The first firing after `instant`; None if there is none, or if the schedule has a part that isn't read here."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - a cold start without a recurring task needn't find the time zones

    if rate := _RATE.fullmatch(schedule):
        return instant + int(rate[1]) * timedelta(**{f"{rate[2]}s": 1})
    cron = _CRON.fullmatch(schedule)
    fields = cron[1].upper().split() if cron is not None else []
    try:
        minutes, hours, days, months, weekdays, years = fields
        times = [time(hour, minute) for hour in _numbers(hours, 0, 23) for minute in _numbers(minutes, 0, 59)]
        in_months, in_years = set(_numbers(months, 1, 12)), set(_numbers(years, 1970, 2199))
        zone = ZoneInfo(timezone)
        start = instant.astimezone(zone).date()
        for offset in range(_SEARCHED_DAYS):
            day = start + timedelta(days=offset)
            if day.year not in in_years or day.month not in in_months or not _is_on(day, days, weekdays):
                continue
            for at in times:
                found = datetime.combine(day, at, zone).astimezone(UTC)
                if found > instant:
                    return found
    except ValueError:
        return None
    return None


def _is_on(day: date, days: str, weekdays: str) -> bool:
    if days == "L":
        return day.day == calendar.monthrange(day.year, day.month)[1]
    if days not in {"?", "*"}:
        return day.day in _numbers(days, 1, 31)
    weekday = day.isoweekday() % 7 + 1  # Scheduler counts Sunday as 1
    if nth := re.fullmatch(r"(\w+)#([1-5])", weekdays):
        return weekday == _number(nth[1]) and (day.day - 1) // 7 + 1 == int(nth[2])
    if last := re.fullmatch(r"(\d|[A-Z]{3})L", weekdays):
        return weekday == _number(last[1]) and (day + timedelta(days=7)).month != day.month
    return weekday in _numbers("7" if weekdays == "L" else weekdays, 1, 7)


def _numbers(field: str, first: int, last: int) -> list[int]:
    """The numbers that a field stands for, in order. Raises ValueError for a form that isn't read here."""
    found: set[int] = set()
    for part in field.split(","):
        numbers, _, step = part.partition("/")
        begin, _, end = numbers.partition("-")
        if begin in {"*", "?"}:
            low, high = first, last
        else:
            low = _number(begin)
            high = _number(end) if end else last if step else low
        # FRI-MON goes around the end of the week.
        ranges = [range(low, high + 1)] if low <= high else [range(low, last + 1), range(first, high + 1)]
        found.update(number for some in ranges for number in list(some)[:: int(step or 1)])
    return sorted(found)


def _number(text: str) -> int:
    if text.isdigit():
        return int(text)
    if text in _BY_NAME:
        return _BY_NAME[text]
    raise _UnknownFormError(text)
