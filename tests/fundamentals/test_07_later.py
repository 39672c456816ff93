"""Chapter 7: tasks that run later, at a certain time, or again and again."""

from datetime import UTC, datetime, timedelta

import pytest

from celeriac import Queue, task
from celeriac.testing import Sandbox

reminders = Queue("chapter-7")
reminded: list[tuple[str, datetime]] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    reminded.clear()


@task(reminders)
def remind(text: str) -> None:
    reminded.append((text, datetime.now(UTC)))


@task(reminders, cron="0 3 * * *", timezone="Europe/Berlin")
def tidy_up() -> None:
    reminded.append(("tidy", datetime.now(UTC)))


@pytest.mark.parametrize("delay", [timedelta(minutes=5), timedelta(hours=2), timedelta(days=30)])
def test_a_delay_may_be_longer_than_sqs_allows(sandbox: Sandbox, delay: timedelta) -> None:
    start = sandbox.now
    remind.options(delay=delay).enqueue("later")
    sandbox.drain()
    ((_, at),) = reminded
    assert delay <= at - start < delay + timedelta(minutes=1)


def test_a_task_can_have_a_time(sandbox: Sandbox) -> None:
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    remind.options(at=noon).enqueue("lunch")
    sandbox.drain()
    ((_, at),) = reminded
    assert noon <= at < noon + timedelta(minutes=1)


def test_what_is_worth_nothing_later_is_cancelled_if_it_has_not_started_by_then(sandbox: Sandbox) -> None:
    late = remind.options(expires=timedelta(minutes=10)).enqueue("your code is 1234")
    sandbox.advance(timedelta(minutes=10))  # no worker had time for it
    sandbox.drain()
    assert reminded == []
    assert late.status().state == "cancelled"
    assert sandbox.dead_letters(reminders) == []


def test_a_schedule_that_fires_twice_is_one_run(sandbox: Sandbox) -> None:
    sandbox.fire(tidy_up)
    sandbox.fire(tidy_up)
    sandbox.drain()
    assert [text for text, _ in reminded] == ["tidy"]
