"""What EventBridge Scheduler takes in the six fields of a cron expression.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based
"""

import calendar
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class _Field(NamedTuple):
    name: str
    first: int
    last: int
    names: Mapping[str, int] = {}
    special: str = r"(?!)"
    """A pattern of what else the field may be, or contain in its list."""


_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAY = rf"([1-7]|{'|'.join(_DAYS)})"
FIELDS = (
    _Field("minutes", 0, 59),
    _Field("hours", 0, 23),
    _Field("day-of-month", 1, 31, special=r"\?|L|LW|([1-9]|[12]\d|3[01])W"),
    _Field("month", 1, 12, _MONTHS),
    _Field("day-of-week", 1, 7, _DAYS, rf"\?|L|{_DAY}L|{_DAY}#[1-5]"),
    _Field("year", 1970, 2199),
)


def problems(fields: list[str]) -> Iterator[str]:
    """Yield what Scheduler would refuse in the fields of a cron expression."""
    for field, text in zip(FIELDS, fields, strict=True):
        for part in text.upper().split(","):
            if not re.fullmatch(field.special, part) and not _fits(part, field):
                names = f", {next(iter(field.names))} and so on" if field.names else ""
                yield f"{field.name} {part!r}: Scheduler takes {field.first} to {field.last}{names} there"


def never_fires(fields: list[str]) -> bool:
    """Whether the months of an expression have none of its days."""
    days, months = fields[2].upper(), fields[3].upper()
    if not re.fullmatch(r"[\d,-]+", days) or "/" in months:
        return False
    bounds = [_bounds(part, FIELDS[2]) for part in days.split(",")]
    first = min(low if low <= high else 1 for low, high in bounds)  # 30-2 goes over the end of a month
    numbers: set[int] = set()
    for part in months.split(","):
        low, high = _bounds(part, FIELDS[3])
        numbers |= set(range(low, high + 1)) if low <= high else {*range(low, 13), *range(1, high + 1)}
    return first > max(_LONGEST[number - 1] for number in numbers)


def last_year(fields: list[str]) -> int:
    """The last year in which the expression fires, if its years are right."""
    years, last = FIELDS[-1], []
    for part in fields[-1].split(","):
        numbers, step, _ = part.partition("/")
        last.append(years.last if step and "-" not in numbers else _bounds(numbers, years)[1])
    return max(last)


def _fits(part: str, field: _Field) -> bool:
    numbers, slash, step = part.partition("/")
    if slash and not (step.isdecimal() and 1 <= int(step) <= field.last):
        return False
    try:
        low, high = _bounds(numbers, field)
    except ValueError:
        return False
    return field.first <= low <= field.last and field.first <= high <= field.last


def _bounds(numbers: str, field: _Field) -> tuple[int, int]:
    """The first and the last number of a part of a list. Raises ValueError for what is none."""
    if numbers == "*":
        return field.first, field.last
    begin, dash, end = numbers.partition("-")
    low = _number(begin, field)
    return low, _number(end, field) if dash else low


def _number(text: str, field: _Field) -> int:
    if text in field.names:
        return field.names[text]
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(text)
    return int(text)
