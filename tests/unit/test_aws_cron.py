"""Cron expressions of EventBridge Scheduler: what it takes, and what it would refuse only in the deploy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.model.aws_cron import last_year, problems
from celeriac.model.cron import scheduled
from celeriac.model.crontab import ScheduleError


@pytest.mark.parametrize(
    "expression",
    [
        "0 3 * * ? *",
        "0/15 8-18 ? * MON-FRI *",
        "0,30 0 1,15 * ? 2030-2035",
        "15 10 ? * 6L 2099",
        "0 9 ? * mon#1 *",
        "0 9 ? * 2#3 *",
        "0 9 L * ? *",
        "0 9 LW * ? *",
        "0 9 15W JAN,jul-SEP ? *",
        "0 9 1/2 1/3 ? *",
        "59 23 31 12 ? 2199",
        "0 0 ? * FRIL *",
        "0 22-2 * * ? *",
        "0 0 ? * SUN,FRI,SAT *",
        "0 0 29,31 2 ? *",
        "0 0 30-2 2 ? *",
        "0 0 31 11-1 ? *",
        "0 0 31 1/2 ? *",
    ],
)
def test_what_scheduler_takes_is_taken(expression: str) -> None:
    assert scheduled(f"cron({expression})") == f"cron({expression})"


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("60 3 * * ? *", "minutes '60': Scheduler takes 0 to 59"),
        ("0 24 * * ? *", "hours '24': Scheduler takes 0 to 23"),
        ("0 0 0 * ? *", "day-of-month '0': Scheduler takes 1 to 31"),
        ("0 0 32W * ? *", "day-of-month '32W'"),
        ("0 0 1 13 ? *", "month '13': Scheduler takes 1 to 12, JAN and so on"),
        ("0 0 1 JANUARY ? *", "month 'JANUARY'"),
        ("0 0 ? * 0 *", "day-of-week '0': Scheduler takes 1 to 7, SUN and so on"),
        ("0 3 31 2 ? *", "its months have no such day"),
        ("0 3 30-31 FEB ? *", "its months have no such day"),
        ("0 3 31 APR,jun ? *", "its months have no such day"),
        ("0 0 ? * MON#6 *", "day-of-week 'MON#6'"),
        ("0 0 ? * MONTAG *", "day-of-week 'MONTAG'"),
        ("0/0 3 * * ? *", "minutes '0/0'"),
        ("0/60 3 * * ? *", "minutes '0/60'"),
        ("*/x 3 * * ? *", r"minutes '\*/X'"),
        ("? 3 * * ? *", r"minutes '\?'"),
        ("0 3 * ? ? *", "one of day-of-month|month"),
        ("1- 3 * * ? *", "minutes '1-'"),
        ("0, 3 * * ? *", "minutes ''"),
        ("0 3 * * ? 1969", "year '1969': Scheduler takes 1970 to 2199"),
        ("0 3 * * ? 2200", "year '2200'"),
        ("0 3 * * ? L", "year 'L'"),
    ],
)
def test_what_scheduler_would_refuse_is_refused(expression: str, complaint: str) -> None:
    with pytest.raises(ScheduleError, match=complaint):
        scheduled(f"cron({expression})")


@given(st.lists(st.integers(0, 59), min_size=1, max_size=5), st.integers(0, 23), st.integers(1, 28), st.integers(1, 12))
def test_whatever_a_crontab_becomes_is_right(minutes: list[int], hour: int, day: int, month: int) -> None:
    written = scheduled(f"{','.join(map(str, minutes))} {hour} {day} {month} *")
    assert not list(problems(written.removeprefix("cron(").removesuffix(")").split()))


@pytest.mark.parametrize(("year", "last"), [("*", 2199), ("2030", 2030), ("2030,2040-2041", 2041), ("2030/2", 2199)])
def test_the_last_year(year: str, last: int) -> None:
    assert last_year(["0", "0", "*", "*", "?", year]) == last
