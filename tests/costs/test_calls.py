"""How many AWS calls a task costs."""

from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, Reject, task
from celeriac.testing import Sandbox

jobs = Queue("jobs", concurrency=3)


@task(jobs, key="name", retry=Backoff(base=timedelta(minutes=2), jitter=0, attempts=2))
def work(ctx: Context, name: str, failures: int = 0) -> None:
    if ctx.attempt <= failures:
        raise ConnectionError


@task(jobs)
def refuse() -> None:
    raise Reject("no")


@task(Queue("ledger", fifo=True))
def book() -> None: ...


@task(jobs, delivery="at_least_once")
def notify() -> None: ...


@task(jobs, delivery="at_most_once")
def launch() -> None: ...


@task(jobs)
def transfer(ctx: Context) -> None:
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": "o-1"})
        tx.emit("nobody.listens", {})


def _run(sandbox: Sandbox) -> dict[tuple[str, str], int]:
    """The calls that one round of workers makes."""
    before = sandbox.calls.copy()
    sandbox.run_once()
    return dict(sandbox.calls - before)


def test_an_enqueue_of_up_to_ten_tasks_costs_one_call(sandbox: Sandbox) -> None:
    work.enqueue(name="a")
    assert sandbox.calls == {("sqs", "SendMessage"): 1}
    sandbox.calls.clear()
    work.enqueue_many({"name": f"{i}"} for i in range(10))
    assert sandbox.calls == {("sqs", "SendMessageBatch"): 1}


def test_each_message_of_a_fifo_group_costs_one_call(sandbox: Sandbox) -> None:
    book.options(group="g").enqueue_many([{}, {}, {}])
    assert sandbox.calls == {("sqs", "SendMessageBatch"): 3}


def test_an_effectively_once_task_costs_two_calls(sandbox: Sandbox) -> None:
    work.enqueue(name="a")
    assert _run(sandbox) == {("dynamodb", "PutItem"): 1, ("dynamodb", "UpdateItem"): 1}


def test_a_duplicate_costs_one_call(sandbox: Sandbox) -> None:
    work.enqueue(name="a")
    sandbox.run_once()
    work.enqueue(name="a")
    assert _run(sandbox) == {("dynamodb", "PutItem"): 1}


def test_an_at_least_once_task_costs_no_call(sandbox: Sandbox) -> None:
    notify.enqueue()
    assert _run(sandbox) == {}


def test_an_at_most_once_task_costs_two_calls(sandbox: Sandbox) -> None:
    launch.enqueue()
    assert _run(sandbox) == {("dynamodb", "PutItem"): 1, ("dynamodb", "UpdateItem"): 1}


def test_a_failed_attempt_costs_three_calls(sandbox: Sandbox) -> None:
    work.enqueue(name="a", failures=1)
    assert _run(sandbox) == {("dynamodb", "PutItem"): 1, ("sqs", "SendMessage"): 1, ("dynamodb", "UpdateItem"): 1}


def test_a_dead_letter_costs_three_calls(sandbox: Sandbox) -> None:
    refuse.enqueue()
    assert _run(sandbox) == {("dynamodb", "PutItem"): 1, ("sqs", "SendMessage"): 1, ("dynamodb", "UpdateItem"): 1}


def test_a_dead_letter_after_a_retry_costs_eight_calls(sandbox: Sandbox) -> None:
    work.enqueue(name="a", failures=2)
    sandbox.drain()
    # The second attempt comes more than a minute later, so the worker reads the quarantine again.
    assert sum(sandbox.calls.values()) == 1 + 3 + 1 + 3


def test_a_transaction_costs_three_calls(sandbox: Sandbox) -> None:
    transfer.enqueue()
    sandbox.calls.clear()
    sandbox.drain()
    # Three calls: the claim, the commit (which includes the task's success), and the relay's mark on the event.
    assert sandbox.calls == {("dynamodb", "PutItem"): 1, ("dynamodb", "TransactWriteItems"): 2}


@pytest.mark.parametrize("count", [5])
def test_concurrent_tasks_cost_the_same_calls_as_single_tasks(sandbox: Sandbox, count: int) -> None:
    work.enqueue_many({"name": f"{i}"} for i in range(count))
    assert _run(sandbox) == {("dynamodb", "PutItem"): count, ("dynamodb", "UpdateItem"): count}
