"""A large batch for a consumer, and how much work it is: counted, so the same on every machine."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from celeriac import Queue

STAGE = "test"


def calls_of(work: Callable[[], object]) -> int:
    """How many functions the work calls, in all threads."""
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


def batch_of(queue: Queue, task: str, size: int) -> dict[str, Any]:
    """Lambda's event with so many messages of a task, each with its number."""
    sent_at = f"{datetime.now(UTC).timestamp() * 1000:.0f}"
    return {
        "Records": [
            {
                "messageId": f"m-{i}",
                "receiptHandle": f"h-{i}",
                "body": f'{{"task": "{task}", "args": {{"number": {i}}}}}',
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": sent_at},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{queue.physical_name(STAGE)}",
            }
            for i in range(size)
        ]
    }
