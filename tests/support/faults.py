"""Injected faults of AWS, at botocore's events: calls that time out, and batches that are accepted in part."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ReadTimeoutError

from tests.support.clients import every_client


@contextmanager
def out_of_reach(service: Any, operation: str, *, calls: range = range(1, 1_000_000)) -> Iterator[list[int]]:
    """Let these calls of an operation time out; the first call is 1. Each call that is made is added to the list."""
    made: list[int] = []

    def fail(**_: object) -> None:
        made.append(len(made) + 1)
        if made[-1] in calls:
            raise ReadTimeoutError(endpoint_url="https://aws.example")

    with registered(service, f"before-call.{service}.{operation}", fail):
        yield made


@contextmanager
def answer_lost(service: Any, operation: str, *, times: int = 1) -> Iterator[None]:
    """Let the next calls of an operation be carried out, but time out for the caller."""
    left = times

    def lose(**_: object) -> None:
        nonlocal left
        if left > 0:
            left -= 1
            raise ReadTimeoutError(endpoint_url="https://aws.example")

    with registered(service, f"after-call.{service}.{operation}", lose):
        yield


@contextmanager
def refused(matches: Callable[[dict[str, Any]], bool], *, times: int, sender_fault: bool = False) -> Iterator[None]:
    """Let SQS refuse the entries whose message `matches`, in the first `times` batches that hold such entries."""
    left = times
    taken_out: dict[int, list[dict[str, Any]]] = {}  # by thread: several queues are sent to at the same time

    def take_out(params: dict[str, Any], **_: object) -> Any:
        nonlocal left
        batch = json.loads(params["body"])
        wrong = [entry for entry in batch["Entries"] if matches(json.loads(entry["MessageBody"]))]
        if not wrong or not left:
            return None
        left -= 1
        batch["Entries"] = [entry for entry in batch["Entries"] if entry not in wrong]
        taken_out[threading.get_ident()] = wrong
        if not batch["Entries"]:
            return type("Answer", (), {"status_code": 200}), {"Successful": []}  # SQS is not called
        params["body"] = json.dumps(batch)
        return None

    def answer(parsed: dict[str, Any], **_: object) -> None:
        wrong = taken_out.pop(threading.get_ident(), [])
        failed = [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": sender_fault} for entry in wrong]
        parsed["Failed"] = [*parsed.get("Failed", []), *failed]

    with (
        registered("sqs", "before-call.sqs.SendMessageBatch", take_out),
        registered("sqs", "after-call.sqs.SendMessageBatch", answer),
    ):
        yield


@contextmanager
def delayed(service: Any, operation: str, *, seconds: float = 0.05) -> Iterator[None]:
    """Let an operation take this long in real time, so that all other threads have time to start waiting for it."""

    def wait(**_: object) -> None:
        threading.Event().wait(seconds)

    with registered(service, f"before-call.{service}.{operation}", wait):
        yield


@contextmanager
def registered(service: Any, event: str, handler: Callable[..., object]) -> Iterator[None]:
    """Let botocore call `handler` at one of its events, such as `before-call.sqs.SendMessage`."""
    clients = list(every_client(service))
    for client in clients:
        client.meta.events.register(event, handler)
    try:
        yield
    finally:
        for client in clients:
            client.meta.events.unregister(event, handler)
