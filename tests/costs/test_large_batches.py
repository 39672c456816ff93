"""Ten times the messages are ten times the work, not a hundred times."""

from datetime import timedelta
from typing import Any

from celeriac import Queue, task
from celeriac.consume.handler import handler
from celeriac.testing import Sandbox
from celeriac.testing.calls import Call
from celeriac.worker.event import Invocation
from tests.support.large_batch import batch_of, calls_of

many = Queue("many", batch_size=10_000, batch_window=timedelta(seconds=5), concurrency=5)


@task(many, delivery="at_least_once")
def count(number: int) -> None: ...


def test_a_batch_costs_as_much_for_each_message_as_a_small_one(sandbox: Sandbox) -> None:
    def run(size: int) -> int:
        batch, worker = (
            batch_of(many, "count", size),
            Invocation("celeriac-test--many", "r-1", sandbox.now + many.timeout),
        )
        return calls_of(lambda: handler(batch, worker))

    run(10)  # what is done once in a worker
    assert run(1000) < 12 * run(100)


def test_enqueue_many_costs_as_much_for_each_message_as_for_few(sandbox: Sandbox) -> None:
    def take(call: Call) -> Any:
        return {"Successful": []}

    def enqueue(size: int) -> int:
        return calls_of(lambda: count.enqueue_many({"number": i} for i in range(size)))

    with sandbox.worker(), sandbox.fault(take):
        enqueue(10)
        assert enqueue(1000) < 12 * enqueue(100)
