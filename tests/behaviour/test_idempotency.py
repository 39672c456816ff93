"""Effectively once: a task succeeds once, even if its message is delivered several times."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from celeriac import Context, Queue, task
from celeriac.testing import Sandbox

bank = Queue("bank", batch_size=10)
charges: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    charges.clear()


@task(bank, key="payment_id")
def charge(ctx: Context, payment_id: str) -> str:
    charges.append(ctx.key)
    return "charged"


@task(bank, key="payment_id")
def refund(ctx: Context, payment_id: str) -> None:
    charges.append(ctx.key)


@task(bank, delivery="at_least_once")
def notify(name: str) -> None:
    charges.append(name)


def test_a_message_that_arrives_twice_runs_once(sandbox: Sandbox, send: Callable[[Queue, object], None]) -> None:
    message = {"id": "0198c0de-0000-7000-8000-000000000001", "task": "charge", "args": {"payment_id": "p-1"}}
    send(bank, message)
    send(bank, message)
    sandbox.drain()
    assert len(charges) == 1


def test_two_messages_with_one_key_run_the_task_once(sandbox: Sandbox) -> None:
    charge.enqueue(payment_id="p-1")
    charge.enqueue(payment_id="p-1")
    charge.enqueue(payment_id="p-2")
    sandbox.drain()
    assert charges == ["charge:p-1", "charge:p-2"]


def test_two_tasks_never_share_a_key(sandbox: Sandbox) -> None:
    charge.enqueue(payment_id="p-1")
    refund.enqueue(payment_id="p-1")
    sandbox.drain()
    assert charges == ["charge:p-1", "refund:p-1"]


def test_a_sender_may_choose_the_key(sandbox: Sandbox) -> None:
    charge.options(key="k").enqueue(payment_id="p-1")
    charge.options(key="k").enqueue(payment_id="p-2")
    sandbox.drain()
    assert charges == ["charge:k"]


def test_the_key_stays_the_same_at_every_attempt(sandbox: Sandbox) -> None:
    @task(bank)
    def flaky(ctx: Context) -> None:
        charges.append(ctx.key)
        if ctx.attempt == 1:
            raise ConnectionError

    handle = flaky.enqueue()
    sandbox.drain()
    assert charges == [f"flaky:{handle.id}"] * 2


def test_at_least_once_makes_no_call_to_dynamodb(sandbox: Sandbox) -> None:
    notify.enqueue("Ada")
    sandbox.drain()
    assert charges == ["Ada"]
    assert not [call for call in sandbox.calls if call[0] == "dynamodb"]


def test_effectively_once_costs_two_writes_and_a_duplicate_one(sandbox: Sandbox) -> None:
    charge.enqueue(payment_id="p-1")
    sandbox.drain()
    assert sandbox.calls == {("sqs", "SendMessage"): 1, ("dynamodb", "PutItem"): 1, ("dynamodb", "UpdateItem"): 1}

    charge.enqueue(payment_id="p-1")
    sandbox.drain()
    assert sandbox.calls == {("sqs", "SendMessage"): 2, ("dynamodb", "PutItem"): 2, ("dynamodb", "UpdateItem"): 1}


def test_a_task_runs_again_after_its_worker_died(sandbox: Sandbox) -> None:
    charge.enqueue(payment_id="p-1")
    sandbox.crash_at(2)  # the worker dies before it records the success

    start = sandbox.now
    sandbox.drain()

    assert charges == ["charge:p-1"] * 2
    assert sandbox.now - start >= bank.timeout


def test_a_result_without_json_form_does_not_fail_the_task(sandbox: Sandbox) -> None:
    @task(bank)
    def odd() -> object:
        charges.append("odd")
        return object()

    odd.enqueue()
    sandbox.drain()
    assert charges == ["odd"]
    assert sandbox.dead_letters(bank) == []


def test_a_message_whose_key_is_running_elsewhere_is_handed_back_until_the_lease_ends(sandbox: Sandbox) -> None:
    first = True

    @task(bank, key="name")
    def slow(name: str) -> None:
        nonlocal first
        charges.append(name)
        if first:
            first = False
            slow.enqueue(name=name)  # a duplicate arrives during this run
            sandbox.crash_at(1)

    slow.enqueue(name="Ada")
    start = sandbox.now
    sandbox.drain()
    assert charges == ["Ada", "Ada"]
    assert sandbox.now - start >= timedelta(seconds=30)


@task(bank, key="day")
def report(ctx: Context, day: str | None = "today") -> None:
    charges.append(ctx.key)


def test_a_default_is_used_as_the_key(sandbox: Sandbox) -> None:
    report.enqueue()
    report.enqueue(day="today")
    sandbox.drain()
    assert charges == ["report:today"]


def test_an_empty_key_is_replaced_by_the_id(sandbox: Sandbox) -> None:
    handles = [report.enqueue(day=None), report.enqueue(day=None), report.enqueue(day="")]
    sandbox.drain()
    assert charges == [f"report:{handle.id}" for handle in handles]


@task(bank, key="number")
def count(ctx: Context, number: int) -> None:
    charges.append(ctx.key)


def test_zero_is_a_key_like_any_other(sandbox: Sandbox) -> None:
    count.enqueue(number=0)
    count.enqueue(number=0)
    sandbox.drain()
    assert charges == ["count:0"]


def test_a_handle_has_the_same_key_as_its_task(sandbox: Sandbox) -> None:
    @task(bank, key="size")
    def weigh(size: float) -> float:
        return size

    @task(bank, key="at")
    def ring(at: datetime) -> str:
        return "rung"

    weighed = weigh.enqueue(5)
    (rung,) = ring.enqueue_many([{"at": "2026-01-01T00:00:00+00:00"}])
    sandbox.drain()
    assert (weighed.status().state, rung.status().state) == ("succeeded", "succeeded")
