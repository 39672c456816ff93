"""A dead letter, read back from the queue it lies in."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac import payloads
from celeriac.failure import Failure
from celeriac.message import Malformed, NewerVersion, decode
from celeriac.settle import FAILURE_ATTRIBUTE

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message nobody will run again unless a person redrives it."""

    id: str
    """The task's id; SQS's message id where the body couldn't be read."""
    task: str
    """Empty where the body couldn't be read."""
    args: dict[str, Any]
    failure: Failure | None
    """Why it is dead; None for what SQS moved by itself, after more receives than the queue allows."""
    body: str
    """The body; where an unreadable one was stored in the payload bucket, the one stored."""
    sent_at: datetime


def _failure(noted: str | None) -> Failure | None:
    """The failure in the attribute's text; None for an attribute of somebody else's."""
    try:
        return msgspec.json.decode(noted or "", type=Failure)
    except (msgspec.MsgspecError, RecursionError):
        return None


def ids(message: "MessageTypeDef") -> set[str]:
    """What a letter may be asked for by: SQS's id, and its task's where the body can be read."""
    try:
        return {message["MessageId"], decode(message["Body"]).id} - {""}
    except (Malformed, NewerVersion):
        return {message["MessageId"]}


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    stored_body: str


def read(queue_name: str, message: "MessageTypeDef", *, whole: bool = True) -> DeadLetter:
    """The dead letter in a message received from the queue `queue_name`, with all its attributes.

    Without `whole`, what lies in the payload bucket is not fetched: its arguments, or its body, are left out.
    """
    message_id, body = message["MessageId"], message["Body"]
    sent_at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    attributes = message.get("MessageAttributes", {})
    noted = attributes[FAILURE_ATTRIBUTE].get("StringValue") if FAILURE_ATTRIBUTE in attributes else None
    failure = _failure(noted)
    try:
        stored = msgspec.json.decode(body, type=_Stored)
        if whole:
            body = payloads.load(queue_name, stored.stored_body).decode()
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        pass  # the usual case: the body is here
    try:
        task = decode(body)
    except (Malformed, NewerVersion):
        return DeadLetter(message_id, "", {}, failure, body, sent_at)
    try:
        fetched = payloads.load(queue_name, task.stored) if task.stored and whole else task.args
        args = msgspec.json.decode(fetched)
    except (payloads.PayloadGone, msgspec.MsgspecError, RecursionError):
        args = {}
    return DeadLetter(
        task.id or message_id,
        task.task,
        args if isinstance(args, dict) else {"": args},
        failure or task.failure,
        body,
        sent_at,
    )
