"""The sandbox itself, where it differs from plain moto."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

import celeriac
from celeriac import Backoff, ConditionFailedError, Context, Queue, Reject, task
from celeriac.testing import Sandbox

wide = Queue("sandbox-wide", concurrency=10)
ledger = Queue("sandbox-ledger", fifo=True)


@task(wide)
def fail(ctx: Context, number: int) -> None:
    with pytest.raises(ConditionFailedError), ctx.transaction() as tx:
        tx.put("orders", {"pk": f"{number}"}, condition="attribute_exists(pk)")


@task(wide)
def succeed(number: int) -> None: ...


@task(ledger)
def refuse(number: int) -> None:
    raise Reject("no")


def test_a_rolled_back_transaction_does_not_undo_concurrent_writes(sandbox: Sandbox) -> None:
    handles = []
    for number in range(15):
        handles += [fail.enqueue(number=number), succeed.enqueue(number=number)]
    sandbox.drain()
    assert {handle.status().state for handle in handles} == {"succeeded"}


def test_every_dead_letter_of_a_fifo_group_is_seen(sandbox: Sandbox) -> None:
    for number in range(25):
        refuse.options(group="g").enqueue(number=number)
    sandbox.drain()
    assert [letter.args["number"] for letter in sandbox.dead_letters(ledger)] == list(range(25))


def test_reading_dead_letters_changes_nothing(sandbox: Sandbox) -> None:
    refuse.options(group="g").enqueue(number=1)
    sandbox.drain()
    now, calls = sandbox.now, sandbox.calls.copy()
    assert sandbox.dead_letters(ledger) == sandbox.dead_letters(ledger)
    assert (sandbox.now, sandbox.calls) == (now, calls)


def test_events_of_one_instant_keep_the_order_in_which_they_were_written(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        ids = [tx.emit("sandbox.event", {}, aggregate="a") for _ in range(50)]
    assert ids == sorted(ids)


def test_calls_of_other_threads_are_counted_while_one_thread_is_not(sandbox: Sandbox) -> None:
    mine, theirs = sandbox._calls.unobserved(), sandbox._calls.unobserved()
    with ThreadPoolExecutor(1) as other:
        mine.__enter__()
        other.submit(theirs.__enter__).result()
        mine.__exit__(None, None, None)
        before = sandbox.calls["sqs", "SendMessage"]
        succeed.enqueue(number=1)
        other.submit(theirs.__exit__, None, None, None).result()
        succeed.enqueue(number=2)
    assert sandbox.calls["sqs", "SendMessage"] == before + 2


def test_a_fifo_message_older_than_twelve_hours_is_received_again(sandbox: Sandbox) -> None:
    attempts: list[int] = []

    @task(ledger, retry=Backoff(base=timedelta(minutes=1), attempts=2))
    def fail_late(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise ConnectionError

    fail_late.options(group="g").enqueue()
    sandbox.advance(timedelta(hours=13))
    sandbox.drain()
    assert attempts == [1, 2]
