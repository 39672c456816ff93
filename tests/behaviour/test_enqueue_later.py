"""Tasks that run later: after a delay, or at an instant."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

import celeriac
from celeriac import Queue, task
from celeriac.testing import Sandbox
from celeriac.testing.sandbox import START

jobs = Queue("later", batch_size=10)
ledger = Queue("later-ledger", fifo=True, batch_size=10)
ran_at: list[datetime] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran_at.clear()


@task(jobs)
def remind() -> None:
    ran_at.append(datetime.now(UTC))


@task(ledger)
def book() -> None: ...


@pytest.mark.parametrize(
    "wait",
    [
        timedelta(),
        timedelta(milliseconds=1),
        timedelta(seconds=1),
        timedelta(minutes=15),
        timedelta(minutes=15, seconds=1),
        timedelta(days=3),
        timedelta(days=365),
    ],
)
def test_a_task_runs_within_a_minute_after_its_instant_and_never_earlier(sandbox: Sandbox, wait: timedelta) -> None:
    at = START + wait
    remind.options(at=at).enqueue()
    sandbox.drain()
    (ran,) = ran_at
    assert at <= ran <= at + timedelta(minutes=1)


def test_an_instant_in_another_time_zone_is_the_same_instant(sandbox: Sandbox) -> None:
    remind.options(at=datetime(2026, 1, 1, 9, tzinfo=ZoneInfo("Europe/Berlin"))).enqueue()
    sandbox.drain()
    assert ran_at[0] - datetime(2026, 1, 1, 8, tzinfo=UTC) < timedelta(minutes=1)


def test_an_instant_that_has_passed_means_now(sandbox: Sandbox) -> None:
    remind.options(at=START - timedelta(days=900)).enqueue()
    sandbox.drain()
    assert ran_at == [START]


def test_options_made_earlier_keep_their_instant(sandbox: Sandbox) -> None:
    later = remind.options(at=START + timedelta(hours=2))
    sandbox.advance(timedelta(hours=1))
    later.enqueue()
    later.enqueue_many([{}, {}])
    sandbox.drain()
    assert len(ran_at) == 3
    assert all(timedelta(hours=2) <= ran - START <= timedelta(hours=2, minutes=1) for ran in ran_at)


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(hours=5)])
def test_a_transaction_keeps_the_instant_even_if_it_is_published_late(sandbox: Sandbox, ahead: timedelta) -> None:
    with celeriac.transaction() as tx:
        tx.enqueue(remind.options(at=START + ahead))
        sandbox.advance(timedelta(minutes=5))
    sandbox.advance(timedelta(minutes=3))  # the relay is late
    sandbox.drain()
    (ran,) = ran_at
    assert START + ahead <= ran <= START + ahead + timedelta(minutes=1)


def test_a_time_without_a_time_zone_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"task 'remind': at=.* has no time zone.* write datetime\(..., tzinfo=UTC\)"):
        remind.options(at=datetime(2026, 1, 1))  # noqa: DTZ001 - the test needs a naive datetime


@pytest.mark.parametrize("at", ["2026-01-01T00:00:00Z", 1767225600, START.date()])
def test_a_value_that_is_not_a_datetime_is_refused(at: object) -> None:
    with pytest.raises(TypeError, match=r"task 'remind': at is .*, write a datetime with a time zone"):
        remind.options(at=at)  # type: ignore[arg-type]  # the test passes a wrong type


def test_delay_and_at_together_are_refused() -> None:
    with pytest.raises(ValueError, match="delay and at both say when it runs: give one of them"):
        remind.options(at=START, delay=timedelta(hours=1))


def test_an_instant_beyond_a_year_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="it is more than a year from now"):
        remind.options(at=sandbox.now + timedelta(days=366))


def test_an_instant_on_a_fifo_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="FIFO, which delays no single message"):
        book.options(at=START, group="a")
