"""Firings of a schedule that come late: about one runs for each time of delay, and never none for long."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, Reject, Task, task
from celeriac.aws import sqs
from celeriac.leases import late_start
from celeriac.model import cron
from celeriac.model.firings import CatchUp
from celeriac.testing import Call, Sandbox, WorkerDied
from celeriac.testing.schedules import as_sent
from tests.support.redrive import redrive_as_aws_does

MINUTE = timedelta(minutes=1)
wide = Queue("late", batch_size=10)
single = Queue("late-single", batch_size=1)
ran: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()


def _fire_late(sandbox: Sandbox, tidy: Task[..., Any, Any], by: timedelta) -> None:
    """Send what the schedule sends now, so that it arrives later."""
    body = as_sent(cron.message(tidy.name), scheduled_time=sandbox.now, arn="arn:of:the-cron")
    sqs.send(tidy.queue.physical_name("test"), sqs.Entry(body, delay_seconds=int(by.total_seconds())))


def _pile_up(sandbox: Sandbox, tidy: Task[..., Any, Any], firings: int, every: timedelta) -> list[str]:
    """The ids of firings that wait in the queue. The last one is six minutes late, too."""
    ids = []
    for number in range(firings):
        ids.append(f"{tidy.name}@{sandbox.now:%Y-%m-%dT%H:%M:%SZ}")
        sandbox.fire(tidy)
        sandbox.advance(every if number < firings - 1 else 6 * MINUTE)
    return ids


@contextmanager
def _dies_at(sandbox: Sandbox, operation: str, *, after: bool, times: int = 1) -> Iterator[None]:
    """Let a worker die at its next calls of an operation on the idempotency table."""
    left = times

    def strike(call: Call) -> Any:
        nonlocal left
        if call.operation != operation or not left:
            return call.make()
        left -= 1
        if after:
            call.make()
        raise WorkerDied

    with sandbox.fault(strike):
        yield


@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once", "at_most_once"])
@pytest.mark.parametrize("queue", [wide, single])
@pytest.mark.parametrize(("catch_up", "expected"), [("one", 1), ("all", 60), ("none", 0)])
def test_after_a_pause_as_many_firings_run_as_the_task_asks_for(
    sandbox: Sandbox, catch_up: CatchUp, expected: int, queue: Queue, delivery: Any
) -> None:
    @task(queue, cron="rate(1 hour)", catch_up=catch_up, delivery=delivery)
    def tidy(ctx: Context) -> None:
        ran.append(ctx.id)

    _pile_up(sandbox, tidy, 60, timedelta(hours=1))
    sandbox.drain()
    assert len(ran) == expected
    assert sandbox.dead_letters(queue) == []


def test_a_firing_in_time_runs_beside_one_of_those_that_were_missed(sandbox: Sandbox) -> None:
    @task(wide, cron="rate(1 hour)")
    def tidy(ctx: Context) -> None:
        ran.append(ctx.id)

    _pile_up(sandbox, tidy, 60, timedelta(hours=1))
    sandbox.fire(tidy)
    sandbox.drain()
    assert len(ran) == 2
    assert f"tidy@{sandbox.now:%Y-%m-%dT%H:%M:%SZ}" in ran


@pytest.mark.parametrize(("late", "expected"), [(30, 120), (61, 60), (90, 60), (301, 20), (900, 8)], ids=str)
def test_in_a_queue_that_is_always_late_firings_run_again_and_again(sandbox: Sandbox, late: int, expected: int) -> None:
    @task(wide, cron="rate(1 minute)")
    def tidy() -> None:
        ran.append("")

    for _ in range(120):
        _fire_late(sandbox, tidy, timedelta(seconds=late))
        for _ in range(6):
            sandbox.advance(timedelta(seconds=10))
            sandbox.run_once()
    sandbox.drain()
    assert abs(len(ran) - expected) <= 1


def test_only_late_firings_cost_a_call(sandbox: Sandbox) -> None:
    @task(wide, cron="rate(1 hour)", delivery="at_least_once")
    def tidy() -> None:
        ran.append("")

    def of_dynamodb() -> int:
        return sum(count for (service, _), count in sandbox.calls.items() if service == "dynamodb")

    sandbox.fire(tidy)
    sandbox.advance(5 * MINUTE)
    sandbox.fire(tidy)
    sandbox.run_once()
    before = of_dynamodb()
    sandbox.fire(tidy)
    sandbox.run_once()
    assert of_dynamodb() == before
    sandbox.fire(tidy)
    sandbox.advance(6 * MINUTE)
    sandbox.run_once()
    # The note; the read of the quarantine, a minute after the last one; claim and end of the run.
    assert of_dynamodb() == before + 4
    assert len(ran) == 4


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("operation", ["UpdateItem", "PutItem"])
@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once"])
def test_a_worker_that_dies_between_the_note_and_the_run_loses_no_firing(
    sandbox: Sandbox,
    operation: str,
    delivery: Any,
    after: bool,  # noqa: FBT001 - a parametrized value
) -> None:
    @task(wide, cron="rate(1 hour)", delivery=delivery)
    def tidy(ctx: Context) -> None:
        ran.append(ctx.id)

    _pile_up(sandbox, tidy, 3, timedelta(hours=1))
    with _dies_at(sandbox, operation, after=after):
        sandbox.drain()
    assert len(ran) == 1


@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once"])
def test_a_late_firing_that_kills_its_workers_is_a_dead_letter_though_others_have_started(
    sandbox: Sandbox, delivery: Any
) -> None:
    @task(single, cron="rate(1 minute)", delivery=delivery)
    def tidy(ctx: Context) -> None:
        ran.append(ctx.id)
        if ctx.id == ran[0]:
            raise WorkerDied

    for _ in range(60):
        _fire_late(sandbox, tidy, timedelta(seconds=61))
        sandbox.advance(MINUTE)
        sandbox.run_once()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(single)
    assert letter.failure is not None
    assert (letter.id, letter.failure.reason) == (ran[0], "worker lost")
    assert len(set(ran)) > 20


@pytest.mark.parametrize("ends", ["retry", "dead"])
@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once"])
def test_what_a_firing_has_left_to_send_is_sent_though_others_have_started(
    sandbox: Sandbox, ends: str, delivery: Any
) -> None:
    @task(single, cron="rate(1 minute)", delivery=delivery, retry=Backoff(base=timedelta(hours=1), jitter=0))
    def tidy(ctx: Context) -> None:
        ran.append(f"{ctx.id} {ctx.attempt}")
        if ctx.id in ran[0] and ctx.attempt == 1:
            raise ValueError if ends == "retry" else Reject("no")

    with sandbox.outage("sqs", operation="SendMessage", for_=20 * MINUTE):
        for _ in range(60):
            _fire_late(sandbox, tidy, timedelta(seconds=61))
            sandbox.advance(MINUTE)
            sandbox.run_once()
    sandbox.drain()
    first = ran[0].partition(" ")[0]
    assert [one for one in ran if first in one] == [
        f"{first} {attempt + 1}" for attempt in range(1 + (ends == "retry"))
    ]
    assert [letter.id for letter in sandbox.dead_letters(single)] == [first] * (ends == "dead")


def test_a_retry_of_a_firing_runs_though_the_next_one_is_due(sandbox: Sandbox) -> None:
    @task(wide, cron="rate(1 minute)", retry=Backoff(base=timedelta(minutes=5), jitter=0))
    def tidy(ctx: Context) -> None:
        ran.append(str(ctx.attempt))
        if ctx.attempt == 1:
            raise ValueError

    _pile_up(sandbox, tidy, 3, MINUTE)
    sandbox.drain()
    assert ran == ["1", "2"]


@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once"])
def test_a_redriven_firing_runs_however_late_it_is(sandbox: Sandbox, delivery: Any) -> None:
    @task(wide, cron="rate(1 minute)", delivery=delivery)
    def tidy(ctx: Context) -> None:
        ran.append(ctx.id)
        if len(ran) == 1:
            raise Reject("no")

    sandbox.fire(tidy)
    sandbox.drain()
    sandbox.advance(timedelta(days=1))
    _pile_up(sandbox, tidy, 3, MINUTE)
    sandbox.drain()
    redrive_as_aws_does(wide)
    sandbox.drain()
    assert ran.count(ran[0]) == 2
    assert len(ran) == 3


def test_a_firing_that_its_policy_has_given_up_does_not_stand_for_the_others(sandbox: Sandbox) -> None:
    @task(wide, cron="rate(1 minute)", retry=Backoff(give_up_after=timedelta(minutes=10)))
    def tidy(ctx: Context) -> None:
        ran.append(ctx.id)

    ids = _pile_up(sandbox, tidy, 60, MINUTE)
    sandbox.drain()
    assert len(ran) == 1
    assert ran[0] > ids[49]
    assert sandbox.dead_letters(wide) == []


def test_the_last_firing_that_its_policy_has_given_up_is_a_dead_letter(sandbox: Sandbox) -> None:
    @task(wide, cron="rate(1 day)", retry=Backoff(give_up_after=timedelta(hours=1)))
    def tidy() -> None:
        ran.append("")

    sandbox.fire(tidy)
    sandbox.advance(timedelta(hours=2))
    sandbox.drain()
    (letter,) = sandbox.dead_letters(wide)
    assert letter.failure is not None
    assert letter.failure.reason == "expired"
    assert ran == []


def test_a_wrong_clock_of_one_worker_holds_up_no_firing_for_long(sandbox: Sandbox) -> None:
    @task(wide, cron="rate(1 minute)")
    def tidy() -> None:
        ran.append("")

    with sandbox._clock.wrong(timedelta(days=1)):
        assert late_start.note(wide, tidy.name, sandbox.now)
    for _ in range(6):
        _fire_late(sandbox, tidy, timedelta(seconds=61))
        sandbox.advance(MINUTE)
        sandbox.run_once()
    assert len(ran) > 1
