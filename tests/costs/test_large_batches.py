"""Ten times the messages are ten times the work, not a hundred times."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from celeriac import Queue, task
from celeriac.consume.handler import handler
from celeriac.testing import Sandbox
from celeriac.testing.calls import Call
from celeriac.testing.lambda_ import Invocation

many = Queue("many", batch_size=10_000, batch_window=timedelta(seconds=5), concurrency=5)


@task(many, delivery="at_least_once")
def count(number: int) -> None: ...


def _calls_of(work: Callable[[], object]) -> int:
    """How many functions the work calls, in all threads. This is the same on every machine."""
    calls = 0

    def count_call(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    threading.setprofile_all_threads(count_call)
    try:
        work()
    finally:
        threading.setprofile_all_threads(None)
    return calls


def _batch(size: int) -> dict[str, Any]:
    sent_at = f"{datetime.now(UTC).timestamp() * 1000:.0f}"
    return {
        "Records": [
            {
                "messageId": f"m-{i}",
                "receiptHandle": f"h-{i}",
                "body": f'{{"task": "count", "args": {{"number": {i}}}}}',
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": sent_at},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:celeriac-test--many",
            }
            for i in range(size)
        ]
    }


def test_a_batch_costs_as_much_for_each_message_as_a_small_one(sandbox: Sandbox) -> None:
    def run(size: int) -> int:
        batch, worker = _batch(size), Invocation("celeriac-test--many", "r-1", sandbox.now + many.timeout)
        return _calls_of(lambda: handler(batch, worker))

    run(10)  # what is done once in a worker
    assert run(1000) < 12 * run(100)


def test_enqueue_many_costs_as_much_for_each_message_as_for_few(sandbox: Sandbox) -> None:
    def take(call: Call) -> Any:
        return {"Successful": []}

    def enqueue(size: int) -> int:
        return _calls_of(lambda: count.enqueue_many({"number": i} for i in range(size)))

    with sandbox.worker(), sandbox.fault(take):
        enqueue(10)
        assert enqueue(1000) < 12 * enqueue(100)
