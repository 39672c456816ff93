"""Declarations of limits, unique and debounced tasks: what can't work is refused at once, with the cure."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Breaker, Concurrent, Debounce, Queue, Rate, Unique, task
from celeriac.declare.check_flow import clash
from celeriac.declare.task import Task
from celeriac.model.errors import DeclarationError

SECOND = timedelta(seconds=1)
declared = Queue("declared")
ordered = Queue("declared-fifo", fifo=True)
stripe = Rate("stripe", 100, by="account")


def _task(queue: Queue = declared, **options: Any) -> Task[..., Any, Any]:
    @task(queue, **options)
    def declared_task(account: str = "", tenant: str = "") -> None: ...

    return declared_task


# Wrong types are what is tried.
any_rate: Any = Rate
any_concurrent: Any = Concurrent
any_breaker: Any = Breaker
any_unique: Any = Unique
any_debounce: Any = Debounce


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (lambda: any_rate("Stripe", 1), "a name is 1-50 lower-case letters"),
        (lambda: any_rate("stripe", 0), "limit is 0, write a whole number"),
        (lambda: any_rate("stripe", 1.5), "limit is 1.5, write a whole number"),
        (lambda: any_rate("stripe", True), "limit is True, write a whole number"),
        (lambda: any_rate("stripe", 1, per=60), "per is 60, write a timedelta"),
        (lambda: any_rate("stripe", 1, per=timedelta(days=2)), "per is 2 days, 0:00:00, it lies between"),
        (lambda: any_rate("stripe", 1_000_000, per=timedelta(milliseconds=1)), "is more than 1,000,000 a second"),
        (lambda: any_rate("stripe", 1, burst=0), "burst is 0, write a whole number"),
        (lambda: any_rate("stripe", 1, by=["account"]), "by is ['account'], write a parameter's name, or a tuple"),
        (lambda: any_rate("stripe", 1, by=("a", "a")), "by is ('a', 'a'), write a parameter's name, or a tuple"),
        (lambda: any_concurrent("exports", 0), "places is 0, write a whole number from 1 to 100"),
        (lambda: any_concurrent("exports", 101), "for more, Queue(max_concurrency=...) costs nothing"),
        (lambda: any_breaker("bank", failures=5, of=4), "failures is 5 of 4: it would never open"),
        (lambda: any_breaker("bank", pause=timedelta()), "pause is 0:00:00, it lies between"),
        (lambda: any_breaker("bank", on=ValueError), "on is <class 'ValueError'>, write a tuple of exception classes"),
        (lambda: any_breaker("bank", on=()), "on is (), write a tuple of exception classes"),
        (lambda: any_unique(by=()), "by is empty"),
        (lambda: any_unique(by="a", until="ended"), 'until is \'ended\', write "finished", "started" or a timedelta'),
        (lambda: any_unique(by="a", until=timedelta()), "until is 0:00:00, it lies between"),
        (lambda: any_unique(by="a", on_conflict="replace"), 'needs until="started"'),
        (lambda: any_unique(by="a", on_conflict="drop"), "on_conflict is 'drop'"),
        (lambda: any_debounce(timedelta(), by="a"), "period is 0:00:00, it lies between"),
        (lambda: any_debounce(5, by="a"), "period is 5, write a timedelta"),
        (lambda: any_debounce(2 * SECOND, by="a", max_wait=SECOND), "max_wait is 0:00:01, it lies between the period"),
        (lambda: any_debounce(SECOND, by=()), "by is empty"),
        (lambda: _task(limits=stripe), "limits is Rate("),
        (lambda: _task(limits=["stripe"]), "write a list of Rate, Concurrent and Breaker"),
        (lambda: _task(limits=[stripe, any_breaker("stripe")]), "its limits name 'stripe' twice"),
        (lambda: _task(limits=[any_rate(f"r{number}", 1) for number in range(9)]), "it has 9 limits, 8 is the most"),
        (
            lambda: _task(limits=[any_rate("rate", 1, by="acount")]),
            "by='acount' of the limit 'rate' names no parameter",
        ),
        (lambda: _task(unique="account"), "unique is 'account', write Unique(by=..., until="),
        (lambda: _task(unique=any_unique(by=("account", "x"))), "by='x' of its Unique names no parameter"),
        (lambda: _task(unique=any_unique(by="account"), key="account"), "leave one of them out"),
        (
            lambda: _task(unique=any_unique(by="account"), debounce=any_debounce(SECOND, by="account")),
            "it has unique and debounce",
        ),
        (lambda: _task(debounce=SECOND), "debounce is datetime.timedelta(seconds=1), write Debounce("),
        (lambda: _task(debounce=any_debounce(SECOND, by="x")), "by='x' of its Debounce names no parameter"),
        (lambda: _task(debounce=any_debounce(SECOND, by="account"), key="account"), "leave the key out"),
        (lambda: _task(ordered, debounce=any_debounce(SECOND, by="account")), "put it on a standard queue"),
        (
            lambda: _task(debounce=any_debounce(SECOND, by="account"), cron="@daily"),
            "a schedule fires at its own times",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_cure(made: Callable[[], object], problem: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        made()
    assert problem in str(refused.value)


def test_what_can_be_kept_is_accepted() -> None:
    exports, bank = Concurrent("exports", 5, by=("account", "tenant")), Breaker("bank", on=(OSError,), by="account")
    made = _task(limits=[stripe, exports, bank], unique=Unique(by=("account", "tenant"), until=timedelta(hours=1)))
    assert [limit.name for limit in made.limits] == ["stripe", "exports", "bank"]


def test_an_interval_is_rounded_so_that_no_window_holds_too_many() -> None:
    assert Rate("thirds", 3).interval == 333_334
    assert (Rate("hundred", 100).interval, Rate("hundred", 100).at_once) == (10_000, 100)
    assert Rate("hourly", 5, per=timedelta(hours=1)).at_once == 1
    assert [Rate("r", 50, per=per).text for per in (SECOND, 60 * SECOND, 5 * SECOND)] == [
        "50/s",
        "50/min",
        "50 in 0:00:05",
    ]


def test_two_limits_of_one_name_are_found_whatever_their_kinds() -> None:
    def clashing(limit: Rate | Concurrent) -> Task[..., Any, Any]:
        return _task(limits=[limit])

    assert clash([clashing(Rate("shared", 1)), clashing(Rate("shared", 1))]) is None
    said = clash([clashing(Rate("shared", 1)), clashing(Concurrent("shared", 1))])
    assert said is not None
    assert "two limits are named 'shared'" in said
