"""A message of a FIFO queue waits in the queue: until its retry is due, and never until SQS deletes it."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from celeriac import Backoff, Queue, Retry, task
from celeriac.testing import Call, Sandbox

ledger = Queue("fifo-waits", fifo=True, timeout=timedelta(seconds=30), batch_size=10)
LATEST = ledger.retention - ledger.visibility


def _cannot_hide(call: Call) -> Any:
    if call.operation.startswith("ChangeMessageVisibility"):
        raise TimeoutError("SQS can't be reached")
    return call.make()


@pytest.mark.parametrize("delay", [timedelta(hours=1), timedelta(days=1)])
@pytest.mark.parametrize("can_hide", [True, False])
@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once"])
def test_a_retry_runs_when_it_is_due_however_often_sqs_delivers_the_message_before(
    sandbox: Sandbox,
    delay: timedelta,
    can_hide: bool,  # noqa: FBT001 - a parametrized value
    delivery: Any,
) -> None:
    runs: list[datetime] = []

    @task(ledger, delivery=delivery, retry=Backoff(attempts=2))
    def book() -> None:
        runs.append(sandbox.now)
        if len(runs) == 1:
            raise Retry("the bank is closed", delay=delay)

    handle = book.options(group="a").enqueue()
    with sandbox.fault((lambda call: call.make()) if can_hide else _cannot_hide):
        sandbox.drain()

    assert len(runs) == 2
    waited = runs[1] - runs[0]
    assert delay <= waited <= delay * 1.1 + ledger.visibility
    if delivery == "effectively_once":
        assert handle.status().state == "succeeded"
    assert sandbox.dead_letters(ledger) == []


def test_a_message_that_sqs_would_delete_becomes_a_dead_letter_and_the_messages_behind_it_run(sandbox: Sandbox) -> None:
    done: list[str] = []

    @task(ledger, retry=lambda _error, _attempt: timedelta(hours=8))
    def book(name: str) -> None:
        if name == "first":
            raise ValueError
        done.append(name)

    handle = book.options(group="a").enqueue("first")
    for name in ("second", "third"):
        book.options(group="a").enqueue(name)
    sandbox.drain()

    assert [(letter.args, letter.failure and letter.failure.reason) for letter in sandbox.dead_letters(ledger)] == [
        ({"name": "first"}, "expired")
    ]
    assert done == ["second", "third"]
    assert handle.status().state == "dead"


def test_messages_that_were_left_too_long_become_dead_letters_in_order(sandbox: Sandbox) -> None:
    """The queue's consumer was paused for almost as long as SQS keeps messages."""
    done: list[int] = []

    @task(ledger)
    def book(number: int) -> None:
        done.append(number)

    handles = [book.options(group="a").enqueue(number) for number in range(25)]
    sandbox.advance(LATEST + timedelta(seconds=1))
    late = book.options(group="a").enqueue(25)
    sandbox.drain()

    letters = sandbox.dead_letters(ledger)
    assert [letter.args for letter in letters] == [{"number": number} for number in range(25)]
    assert {letter.failure.reason for letter in letters if letter.failure} == {"expired"}
    assert {handle.status().state for handle in handles} == {"dead"}
    assert done == [25]
    assert late.status().state == "succeeded"


def test_a_message_with_time_left_still_runs(sandbox: Sandbox) -> None:
    done: list[int] = []

    @task(ledger)
    def book(number: int) -> None:
        done.append(number)

    book.options(group="a").enqueue(1)
    sandbox.advance(LATEST)
    sandbox.drain()
    assert done == [1]
