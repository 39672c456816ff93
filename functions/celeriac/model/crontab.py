"""Converts a crontab's five fields to the form that EventBridge Scheduler takes.

The two differ. Scheduler has six fields, counts Sunday as 1, and wants `?` in the day field that isn't used. It can't
express "on the 1st, and on every Monday", which is what a crontab means when it sets both day fields.
https://man7.org/linux/man-pages/man5/crontab.5.html
"""

from collections.abc import Iterator, Mapping
from itertools import groupby

from msgspec import Struct, field

from celeriac.model.errors import CeleriacError

FIELDS = 5
MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# A range has at least three numbers. Two neighbours are easier to read as a list.
_SHORTEST_RANGE = 3


class ScheduleError(CeleriacError, ValueError):
    """A text can't be converted to a schedule. The error's text says why."""


class _Field(Struct, frozen=True):
    name: str
    first: int
    last: int
    names: Mapping[str, int] = field(default_factory=dict)


_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day-of-month", 1, 31)
_MONTH = _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)})
# 7 means Sunday, as 0 does.
_WEEKDAY = _Field("day-of-week", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)})


def converted(written: str) -> str:
    """Convert five fields, or a macro, to `cron(...)` with six fields. Raises ScheduleError.

    >>> converted("*/15 8-18 * * 1-5")
    'cron(0/15 8-18 ? * MON-FRI *)'
    """
    if written.startswith("@") and written not in MACROS:
        raise ScheduleError(f"it isn't a known name with an @; these are known: {', '.join(MACROS)}")
    if "?" in written:
        raise ScheduleError("`?` belongs to AWS's cron(...) with six fields: write `*` for it")
    minute, hour, day, month, weekday = MACROS.get(written, written).split()
    if day != "*" and weekday != "*":
        raise ScheduleError(
            "a crontab with both day-of-month and day-of-week fires when either of them matches, which a schedule of "
            "AWS can't do: leave one of them `*`, and declare a second task for the other"
        )
    fields = [_field(_MINUTE, minute), _field(_HOUR, hour)]
    fields += [_field(_DAY, day) if weekday == "*" else "?", _field(_MONTH, month)]
    fields += [_weekdays(weekday) if weekday != "*" else "?", "*"]
    if day != "*" and min(_values(_DAY, day)) > max(_LONGEST_MONTHS[number - 1] for number in _values(_MONTH, month)):
        raise ScheduleError("its months have no such day")
    return f"cron({' '.join(fields)})"


def _field(of: _Field, written: str) -> str:
    values = sorted(set(_values(of, written)))
    if written == "*":
        return written
    start, _, step = written.partition("/")
    if start == "*" and "," not in step and len(values) > 1:
        return f"{of.first}/{step}"
    return ",".join(_runs(values))


def _weekdays(written: str) -> str:
    """Return the weekdays by name. A name means the same day in a crontab and in Scheduler."""
    days = sorted({value % 7 for value in _values(_WEEKDAY, written)})
    return ",".join("-".join(_WEEKDAYS[int(end)] for end in run.split("-")) for run in _runs(days))


def _runs(values: list[int]) -> Iterator[str]:
    """Yield sorted numbers as text. Three or more consecutive numbers become one range."""
    for _, together in groupby(enumerate(values), lambda pair: pair[1] - pair[0]):
        run = [value for _, value in together]
        if len(run) < _SHORTEST_RANGE:
            yield from (str(value) for value in run)
        else:
            yield f"{run[0]}-{run[-1]}"


def _values(of: _Field, written: str) -> Iterator[int]:
    """Yield every number that a field names. Raises ScheduleError."""
    for part in written.split(","):
        bounds, slash, step = part.partition("/")
        if bounds == "*":
            # `*` gives seven weekdays, though Sunday has two numbers.
            first, last = of.first, min(of.last, of.first + 6) if of is _WEEKDAY else of.last
        else:
            low, dash, high = bounds.partition("-")
            first = _number(of, low, part)
            last = _number(of, high, part) if dash else first
            if slash and not dash:
                raise ScheduleError(f"{of.name} {part!r}: a step needs a range, write {low}-{of.last}/{step}")
            if of is _WEEKDAY and last == 0 < first:
                last = 7  # FRI-SUN
        if first > last:
            raise ScheduleError(f"{of.name} {part!r}: a range runs upwards")
        by = int(step) if step.isascii() and step.isdigit() else 0
        if slash and by < 1:
            raise ScheduleError(f"{of.name} {part!r}: a step is a number, 1 or more")
        yield from range(first, last + 1, by or 1)


def _number(of: _Field, text: str, part: str) -> int:
    number = of.names.get(text.upper(), int(text) if text.isascii() and text.isdigit() else -1)
    if not of.first <= number <= of.last:
        names = f", or {' '.join(of.names)}" if of.names else ""
        raise ScheduleError(f"{of.name} {part!r}: a crontab takes {of.first} to {of.last}{names} there")
    return number
