"""Bodies and events of other systems: how to recognise them, and how to make them reach a task."""

import json
from base64 import b64decode
from binascii import Error as NotBase64
from typing import Any

from celeriac.model.errors import CeleriacError

TRANSFORM = "give its target an input transformer that writes a message (docs/reference/messages.md)"
SEND_IT = "send a message to its queue instead, with `celeriac send TASK` say"


class WrongTriggerError(CeleriacError, TypeError):
    """The consumer was invoked by something other than its queue. The error shows the invoker that the call failed."""


def looks_like(body: str) -> str | None:
    """Say what a body that isn't a message seems to be, and the fix, as the end of a sentence; None if it is unknown.

    >>> looks_like('"{}"')
    'JSON inside of JSON: encode the message once'
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return _encoded(body)
    if isinstance(found, str):
        return "JSON inside of JSON: encode the message once" if found.lstrip().startswith(("{", "[", '"')) else None
    if isinstance(found, list):
        return "a list: send each message by itself, with SendMessageBatch to save calls" if found else None
    return _of_object(found) if isinstance(found, dict) else None


def is_test_event(body: str) -> bool:
    """Whether the body is S3's test event. S3 sends one when a notification is set up, to test its permission."""
    if "s3:TestEvent" not in body:
        return False
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and (found.get("Service"), found.get("Event")) == ("Amazon S3", "s3:TestEvent")


def wrong_trigger(event: Any) -> str | None:
    """Say why Lambda's event isn't a batch of a queue, and the fix; None if the event is a batch of a queue."""
    if not isinstance(event, dict):
        return f"it was invoked by hand: {SEND_IT}"
    if "Records" not in event:
        if {"detail-type", "detail"} <= event.keys():
            return f"an EventBridge rule invokes it directly: make the queue the rule's target, and {TRANSFORM}"
        return f"its event has no Records, as from an invocation by hand: {SEND_IT}"
    records = event["Records"]
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        return f"its event's Records aren't a list of records: {SEND_IT}"
    if not records or "messageId" in records[0]:
        return None
    source = records[0].get("eventSource", records[0].get("EventSource"))
    match source:
        case "aws:s3":
            return (
                "S3 notifies it directly: remove that notification, turn on EventBridge for the bucket, make the "
                f"queue the target of a rule, and {TRANSFORM}"
            )
        case "aws:sns":
            return (
                "an SNS topic notifies it directly: subscribe the queue to the topic instead, with raw message delivery"
            )
        case _:
            return f"{source or 'something unknown'} invokes it directly: {SEND_IT}"


def _of_object(found: dict[str, Any]) -> str | None:
    records = found.get("Records")
    first = records[0] if isinstance(records, list) and records and isinstance(records[0], dict) else {}
    source = first.get("eventSource", first.get("EventSource"))
    if {"TopicArn", "Type"} <= found.keys():
        return "an SNS notification: turn on raw message delivery for the queue's subscription, and publish a message"
    if source == "aws:s3":
        return (
            "an S3 event notification: turn on EventBridge for the bucket instead, make the queue the target of a "
            f"rule, and {TRANSFORM}"
        )
    if source is not None:
        return f"a batch of records of {str(source)[:40]}: make a message of each"
    if {"detail-type", "detail"} <= found.keys():
        return f"an EventBridge event: {TRANSFORM}"
    if {"body", "headers", "properties"} <= found.keys():
        return "a Celery message: enqueue the task with Celeriac, or send Celery's messages to another queue"
    if "actor_name" in found:
        return "a Dramatiq message: enqueue the task with Celeriac, or send Dramatiq's messages to another queue"
    if "specversion" in found:
        return f"a CloudEvent: make a message of it; where EventBridge brings it, {TRANSFORM}"
    return None


def _encoded(body: str) -> str | None:
    """Say the same of a body that isn't JSON, but a Python dict's text or base64."""
    text = body.strip()
    if text.startswith(("{'", "[{'")):
        return "Python's own text of a dict: write it with json.dumps"
    if not text.startswith("e"):  # the base64 of a brace starts with e
        return None
    try:
        inside = b64decode(text, validate=True).decode()
    except (NotBase64, ValueError):
        return None
    return looks_like(inside) or ("JSON in base64: send the JSON itself" if inside.lstrip().startswith("{") else None)
