"""AWS that answers late, hangs, or refuses a share of the calls: no death is counted, and nothing runs again for it."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

import celeriac
from celeriac import Backoff, Queue, Retry, task
from celeriac.aws.client import PATIENCE, calls_end_by, client
from celeriac.testing import Call, Sandbox
from celeriac.testing.disturbances import refusal

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
jobs = Queue("late")
crowd = Queue("late-crowd", concurrency=10)
ledger = Queue("late-ledger", fifo=True)
ran: Counter[str] = Counter()


@task(jobs, name="late_once")
def once(name: str) -> None:
    ran[name] += 1


@task(crowd, name="late_in_crowd")
def in_crowd(name: str) -> None:
    ran[name] += 1


@task(ledger, name="late_in_order")
def in_order(name: str) -> None:
    ran[name] += 1


@task(jobs, name="late_launch", delivery="at_most_once")
def launch(name: str) -> None:
    ran[name] += 1


@task(jobs, name="late_again", retry=Backoff(attempts=2))
def again(name: str) -> None:
    ran[name] += 1
    if ran[name] == 1:
        raise Retry(delay=MINUTE)


@task(jobs, name="late_often", delivery="at_least_once", retry=Backoff(attempts=2))
def often(name: str) -> None:
    ran[name] += 1
    if ran[name] == 1:
        raise Retry(delay=MINUTE)


@task(jobs, name="late_hear", on="late.plain", delivery="at_least_once")
def hear(name: str) -> None:
    ran[name] += 1


@task(ledger, name="late_book", on="late.both")
def book(name: str) -> None:
    ran[name] += 1


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    yield
    ran.clear()


def _dead(sandbox: Sandbox) -> list[str]:
    return [
        letter.failure.reason if letter.failure is not None else "moved by SQS"
        for queue in (jobs, crowd, ledger)
        for letter in sandbox.dead_letters(queue)
    ]


@pytest.mark.parametrize("operation", ["GetItem", "PutItem", "UpdateItem", None])
@pytest.mark.parametrize(("by", "lasts"), [(3 * SECOND, 10 * MINUTE), (14 * SECOND, 20 * MINUTE)])
def test_a_database_that_answers_late_kills_no_task(
    sandbox: Sandbox, operation: str | None, by: timedelta, lasts: timedelta
) -> None:
    """The calls are carried out, and their answers come when nobody waits for them any more."""
    for name in "ab":
        once.enqueue(name)
        in_crowd.enqueue(f"crowd {name}")
        in_order.options(group=name).enqueue(f"order {name}")
        launch.enqueue(f"launch {name}")
    sandbox.slow("dynamodb", operation, by=by, for_=lasts)
    sandbox.drain()
    assert _dead(sandbox) == []
    assert len(ran) == 8
    if operation != "UpdateItem" and operation is not None:
        # Only a success that could not be recorded before the worker's end is worth another run.
        assert set(ran.values()) == {1}
    assert {count for name, count in ran.items() if name.startswith("launch")} == {1}


@pytest.mark.parametrize(("share", "seed"), [(0.3, 1), (0.7, 2)])
def test_a_database_that_refuses_a_share_of_the_calls_kills_no_task(sandbox: Sandbox, share: float, seed: int) -> None:
    chance, ends_at = random.Random(seed), sandbox.now + 2 * HOUR  # noqa: S311 - no secret

    def refuse_some(call: Call) -> Any:
        if call.service == "dynamodb" and sandbox.now < ends_at and chance.random() < share:
            raise refusal(call)
        return call.make()

    for number in range(5):
        once.enqueue(f"once {number}")
        in_crowd.enqueue(f"crowd {number}")
    with sandbox.fault(refuse_some):
        sandbox.drain()
    assert _dead(sandbox) == []
    assert ran == dict.fromkeys(ran, 1)
    assert len(ran) == 10


@pytest.mark.parametrize("lasts", [MINUTE, 2 * HOUR])
def test_a_queue_that_does_not_answer_charges_nobody(sandbox: Sandbox, lasts: timedelta) -> None:
    """The successor is sent, though nobody hears of it. The end of the run is noted before the worker ends."""
    again.enqueue("again")
    often.enqueue("often")
    sandbox.slow("sqs", "SendMessage", by=40 * SECOND, for_=lasts)
    sandbox.drain()
    assert _dead(sandbox) == []
    assert ran["again"] == 2
    assert ran["often"] <= 4  # its first receive has no record, and each try of a call sends a successor


def test_a_slow_answer_at_the_end_lets_no_finished_task_run_again(sandbox: Sandbox) -> None:
    """One task of five waits for its next attempt, so the worker tells SQS when to show its message again."""

    @task(Queue("late-end", concurrency=5, fifo=True), name="late_end", delivery="at_least_once")
    def end(name: str) -> None:
        ran[name] += 1
        if name == "a" and ran[name] == 1:
            raise Retry(delay=MINUTE)

    for name in "abcde":
        end.options(group=name).enqueue(name)
    sandbox.slow("sqs", "ChangeMessageVisibilityBatch", by=31 * SECOND, for_=20 * SECOND)
    sandbox.drain()
    assert ran == {"a": 2, "b": 1, "c": 1, "d": 1, "e": 1}


@pytest.mark.parametrize(
    "operations", [{"BatchGetItem"}, {"TransactWriteItems"}, {"BatchGetItem", "TransactWriteItems"}]
)
@pytest.mark.parametrize("arrives", ["arrives", "never arrives"])
def test_a_database_that_does_not_answer_the_relay_repeats_no_event_for_long(
    sandbox: Sandbox, operations: set[str], arrives: str
) -> None:
    for number in range(5):
        with celeriac.transaction() as tx:
            tx.emit("late.plain", {"name": f"plain {number}"}, aggregate=f"p{number}")
        with celeriac.transaction() as tx:
            tx.emit("late.both", {"name": f"both {number}"}, aggregate="one")
    ends_at = sandbox.now + HOUR

    def hang(call: Call) -> Any:
        if call.operation not in operations or sandbox.now >= ends_at:
            return call.make()
        if arrives == "arrives":
            call.make()
        config = call.client.meta.config
        sandbox.advance(timedelta(seconds=config.read_timeout * config.retries["total_max_attempts"]))
        raise ReadTimeoutError(endpoint_url=call.client.meta.endpoint_url)

    with sandbox.fault(hang):
        sandbox.drain()
    assert _dead(sandbox) == []
    assert len(ran) == 10
    assert max(ran.values()) <= 2


def test_an_answer_after_five_seconds_is_waited_for(sandbox: Sandbox) -> None:
    """A try that is given up would be carried out all the same, and its task would get two successors."""
    again.enqueue("again")
    sandbox.slow("sqs", "SendMessage", by=5 * SECOND, for_=MINUTE)
    sent = 0

    def count(call: Call) -> Any:
        nonlocal sent
        sent += call.operation == "SendMessage"
        return call.make()

    with sandbox.fault(count):
        sandbox.drain()
    assert ran == {"again": 2}
    assert sent == 1


def test_an_error_of_dynamodb_itself_is_no_reason_to_mark_rows_one_by_one(sandbox: Sandbox) -> None:
    """Each call may have taken seconds. Ten of them would take the relay's whole time."""
    for number in range(10):
        with celeriac.transaction() as tx:
            tx.emit("late.plain", {"name": f"plain {number}"}, aggregate=f"p{number}")
    calls = 0

    def fail(call: Call) -> Any:
        nonlocal calls
        if call.operation == "TransactWriteItems":
            calls += 1
            raise refusal(call, "InternalServerError")
        return call.make()

    with sandbox.fault(fail):
        sandbox.run_once()
    assert calls == 1


def test_a_note_of_an_aggregate_that_is_not_answered_is_tried_once(sandbox: Sandbox) -> None:
    """Lambda delivers the rows again. Further tries would take the time in which others are marked."""
    with celeriac.transaction() as tx:
        tx.emit("late.both", {"name": "both"}, aggregate="one")
    calls = 0

    def hang(call: Call) -> Any:
        nonlocal calls
        calls += call.operation == "TransactWriteItems"
        if call.operation in {"TransactWriteItems", "SendMessageBatch"}:
            raise ReadTimeoutError(endpoint_url=call.client.meta.endpoint_url)
        return call.make()

    with sandbox.fault(hang):
        sandbox.run_once()
    assert calls == 1


def test_a_call_never_takes_longer_than_its_worker_can_spare(sandbox: Sandbox) -> None:
    def longest() -> int:
        config: Any = client("sqs").meta.config
        return next(
            patience.longest
            for patience in PATIENCE
            if (patience.connect, patience.read, patience.attempts)
            == (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"])
        )

    assert longest() == 55
    for seconds in range(3, 900, 7):
        with calls_end_by(sandbox.now + seconds * SECOND):
            assert longest() < seconds
    with calls_end_by(sandbox.now - SECOND):
        assert longest() == 2
    assert longest() == 55
