"""Stubs for SQS and DynamoDB: calls are counted, and answered at once or after a latency."""

import hashlib
import json
import threading
import time
from collections import Counter
from typing import Any

from quiet import answer  # before any AWS library

# isort: split
import boto3

_counting = threading.Lock()


class Stub:
    """A handler of botocore's `before-send`. DynamoDB's answers are empty, so all its writes succeed."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.latency_seconds = 0.0

    def __call__(self, request: Any, **_: object) -> Any:
        target = request.headers["X-Amz-Target"]
        operation = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        with _counting:
            self.calls[operation] += 1
        if self.latency_seconds:  # a sleep of 0 seconds would cost more than the rest of the stub
            time.sleep(self.latency_seconds)
        sent = json.loads(request.body)
        match operation:
            case "SendMessageBatch":
                return answer(
                    request, {"Successful": [_taken(entry) | {"Id": entry["Id"]} for entry in sent["Entries"]]}
                )
            case "SendMessage":
                return answer(request, _taken(sent))
            case "GetQueueAttributes":  # Celery reads a queue's size before its first send
                return answer(request, {"Attributes": {"ApproximateNumberOfMessages": "0"}})
            case _:
                return answer(request, {})

    def register(self, *services: str) -> None:
        """Answer all clients for these services that boto3 makes from now on: a worker makes several for a service."""
        if boto3.DEFAULT_SESSION is None:
            boto3.setup_default_session()
        assert boto3.DEFAULT_SESSION is not None
        for service in services:
            # With an id: if it is registered twice, it answers once.
            boto3.DEFAULT_SESSION.events.register(f"before-send.{service}", self, unique_id=f"{id(self)} {service}")


def _taken(entry: dict[str, str]) -> dict[str, str]:
    md5 = hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
    return {"MessageId": "m", "MD5OfMessageBody": md5}
