"""A crontab's five fields, converted into an expression of EventBridge Scheduler."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.model.crontab import ScheduleError, converted

NAMES = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0 3 * * *", "cron(0 3 * * ? *)"),
        ("* * * * *", "cron(* * * * ? *)"),
        ("*/5 * * * *", "cron(0/5 * * * ? *)"),
        ("0 */6 * * *", "cron(0 0/6 * * ? *)"),
        ("0 0 */2 * *", "cron(0 0 1/2 * ? *)"),  # days and months count from 1
        ("0 0 1 */3 *", "cron(0 0 1 1/3 ? *)"),
        ("*/60 * * * *", "cron(0 * * * ? *)"),  # a step beyond the last value leaves only the first value
        ("0 */24 * * *", "cron(0 0 * * ? *)"),
        ("0 0 */31 * *", "cron(0 0 1 * ? *)"),
        ("0 0 1 */12 *", "cron(0 0 1 1 ? *)"),
        ("0 0 * * */7", "cron(0 0 ? * SUN *)"),
        ("0 8-18/24 * * *", "cron(0 8 * * ? *)"),
        ("0,30 8-18 * * *", "cron(0,30 8-18 * * ? *)"),
        ("30,0 * * * *", "cron(0,30 * * * ? *)"),
        ("*/15,7 * * * *", "cron(0,7,15,30,45 * * * ? *)"),
        ("0 8-18/2 * * *", "cron(0 8,10,12,14,16,18 * * ? *)"),
        ("0 0 1,15 * *", "cron(0 0 1,15 * ? *)"),
        ("0 0 1 jan,Jul-SEP *", "cron(0 0 1 1,7-9 ? *)"),
        ("0 9 * * 1-5", "cron(0 9 ? * MON-FRI *)"),
        ("0 9 * * mon-fri", "cron(0 9 ? * MON-FRI *)"),
        ("0 9 * * 0", "cron(0 9 ? * SUN *)"),  # AWS counts Sunday as 1
        ("0 9 * * 7", "cron(0 9 ? * SUN *)"),
        ("0 9 * * 0,7", "cron(0 9 ? * SUN *)"),
        ("0 9 * * 5-7", "cron(0 9 ? * SUN,FRI,SAT *)"),
        ("0 9 * * FRI-SUN", "cron(0 9 ? * SUN,FRI,SAT *)"),
        ("0 9 * * */2", "cron(0 9 ? * SUN,TUE,THU,SAT *)"),
        ("0 9 * * 1-5/2", "cron(0 9 ? * MON,WED,FRI *)"),
        ("  0\t3 * * * ", "cron(0 3 * * ? *)"),
        ("0 0 29 2 *", "cron(0 0 29 2 ? *)"),
        ("@hourly", "cron(0 * * * ? *)"),
        ("@daily", "cron(0 0 * * ? *)"),
        ("@midnight", "cron(0 0 * * ? *)"),
        ("@weekly", "cron(0 0 ? * SUN *)"),
        ("@monthly", "cron(0 0 1 * ? *)"),
        ("@yearly", "cron(0 0 1 1 ? *)"),
        ("@annually", "cron(0 0 1 1 ? *)"),
    ],
)
def test_a_crontab_is_converted_for_scheduler(written: str, expected: str) -> None:
    assert converted(written) == expected


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("60 * * * *", "minute '60': a crontab takes 0 to 59 there"),
        ("0 24 * * *", "hour '24': a crontab takes 0 to 23"),
        ("0 0 0 * *", "day-of-month '0': a crontab takes 1 to 31"),
        ("0 0 32 * *", "day-of-month '32'"),
        ("0 0 1 13 *", "month '13': a crontab takes 1 to 12, or JAN FEB"),
        ("0 0 * * 8", "day-of-week '8': a crontab takes 0 to 7, or SUN MON"),
        ("0 20-30 * * *", "hour '20-30'"),
        ("0 22-2 * * *", "hour '22-2': a range runs upwards"),
        ("-1 * * * *", "minute '-1'"),
        ("1- * * * *", "minute '1-'"),
        ("0 0 L * *", "day-of-month 'L'"),
        ("0 0 * * MONDAY", "day-of-week 'MONDAY'"),
        ("1,,2 * * * *", "minute ''"),
        ("\u0661 * * * *", "minute"),
        ("5/15 * * * *", "minute '5/15': a step needs a range, write 5-59/15"),
        ("*/0 * * * *", "minute '\\*/0': a step is a number, 1 or more"),
        ("*/ * * * *", "a step is a number"),
        ("*/5/5 * * * *", "a step is a number"),
        ("0 0 ? * MON", "write `\\*` for it"),
        ("0 0 1 * MON", "either of them matches, which a schedule of AWS can't do"),
        ("0 0 */2 * MON", "declare a second task for the other"),
        ("0 0 31 2,4 *", "its months have no such day"),
        ("@reboot", "these are known: @hourly"),
    ],
)
def test_an_invalid_crontab_is_refused_with_the_reason(written: str, why: str) -> None:
    with pytest.raises(ScheduleError, match=why):
        converted(written)


def numbers(text: str, first: int, last: int) -> set[int]:
    """The values that a field of Scheduler names, read without the code under test."""
    found: set[int] = set()
    for part in text.split(","):
        if part == "*":
            found |= set(range(first, last + 1))
        elif "/" in part:
            start, step = part.split("/")
            found |= set(range(int(start), last + 1, int(step)))
        elif "-" in part:
            low, high = part.split("-")
            found |= set(range(int(low), int(high) + 1))
        else:
            found.add(int(part))
    return found


@given(st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59), st.integers(1, 59)), min_size=1, max_size=4))
def test_a_converted_crontab_has_the_same_minutes(parts: list[tuple[int, int, int]]) -> None:
    expected = {minute for a, b, step in parts for minute in range(min(a, b), max(a, b) + 1, step)}
    written = ",".join(f"{min(a, b)}-{max(a, b)}/{step}" for a, b, step in parts)
    minute = converted(f"{written} * * * *").removeprefix("cron(").split()[0]
    assert numbers(minute, 0, 59) == expected


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=3))
def test_a_converted_crontab_has_the_same_weekdays(parts: list[tuple[int, int]]) -> None:
    ranges = [(min(pair), max(pair)) for pair in parts]
    expected = {day % 7 for low, high in ranges for day in range(low, high + 1)}
    written = ",".join(f"{low}-{high}" for low, high in ranges)
    text = converted(f"0 0 * * {written}").split()[4]
    for number, name in enumerate(NAMES):
        text = text.replace(name, str(number))
    assert numbers(text, 0, 6) == expected
