"""What a task costs in AWS calls, counted."""

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
    """The calls of one round of workers."""
    before = sandbox.calls.copy()
    sandbox.run_once()
    return dict(sandbox.calls - before)


def test_enqueueing(sandbox: Sandbox) -> None:
    work.enqueue(name="a")
    assert sandbox.calls == {("sqs", "SendMessage"): 1}
    sandbox.calls.clear()
    work.enqueue_many({"name": f"{i}"} for i in range(10))
    assert sandbox.calls == {("sqs", "SendMessageBatch"): 1}


def test_effectively_once(sandbox: Sandbox) -> None:
    work.enqueue(name="a")
    assert _run(sandbox) == {("dynamodb", "PutItem"): 1, ("dynamodb", "UpdateItem"): 1}


def test_a_duplicate(sandbox: Sandbox) -> None:
    work.enqueue(name="a")
    sandbox.run_once()
    work.enqueue(name="a")
    assert _run(sandbox) == {("dynamodb", "PutItem"): 1}


def test_at_least_once(sandbox: Sandbox) -> None:
    notify.enqueue()
    assert _run(sandbox) == {}


def test_at_most_once(sandbox: Sandbox) -> None:
    launch.enqueue()
    assert _run(sandbox) == {("dynamodb", "PutItem"): 1, ("dynamodb", "UpdateItem"): 1}


def test_a_failed_attempt(sandbox: Sandbox) -> None:
    work.enqueue(name="a", failures=1)
    assert _run(sandbox) == {("dynamodb", "PutItem"): 1, ("sqs", "SendMessage"): 1, ("dynamodb", "UpdateItem"): 1}


def test_a_dead_letter(sandbox: Sandbox) -> None:
    refuse.enqueue()
    assert _run(sandbox) == {("dynamodb", "PutItem"): 1, ("sqs", "SendMessage"): 1, ("dynamodb", "UpdateItem"): 1}


def test_a_dead_letter_after_a_retry(sandbox: Sandbox) -> None:
    work.enqueue(name="a", failures=2)
    sandbox.drain()
    # Its second attempt comes more than a minute later, so the worker looks at the quarantine again.
    assert sum(sandbox.calls.values()) == 1 + 3 + 1 + 3


def test_a_transaction(sandbox: Sandbox) -> None:
    transfer.enqueue()
    sandbox.calls.clear()
    sandbox.drain()
    # The claim, the commit with the task's success in it, and the relay's mark on the event.
    assert sandbox.calls == {("dynamodb", "PutItem"): 1, ("dynamodb", "TransactWriteItems"): 2}


@pytest.mark.parametrize("count", [5])
def test_tasks_side_by_side_cost_what_they_cost_alone(sandbox: Sandbox, count: int) -> None:
    work.enqueue_many({"name": f"{i}"} for i in range(count))
    assert _run(sandbox) == {("dynamodb", "PutItem"): count, ("dynamodb", "UpdateItem"): count}
