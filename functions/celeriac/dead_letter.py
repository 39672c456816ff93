"""A dead letter, read back from the queue it lies in."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac import payloads
from celeriac.attributes import Attributes, failure_in, of_sender, unpacked
from celeriac.failure import Failure
from celeriac.message import Malformed, NewerVersion, decode
from celeriac.sender import task_of

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message nobody will run again unless a person redrives it."""

    id: str
    """The task's id; SQS's message id where the body couldn't be read."""
    task: str
    """Empty where not even that could be read of the body."""
    args: dict[str, Any]
    failure: Failure | None
    """Why it is dead; None for what SQS moved by itself, after more receives than the queue allows."""
    body: str
    """The body; where an unreadable one was stored in the payload bucket, the one stored."""
    sent_at: datetime
    attributes: Attributes = field(default_factory=dict)
    """The message attributes of its sender."""


def ids(message: "MessageTypeDef") -> set[str]:
    """What a letter may be asked for by: SQS's id, and its task's where the body can be read."""
    try:
        return {message["MessageId"], decode(message["Body"]).id} - {""}
    except (Malformed, NewerVersion):
        return {message["MessageId"]}


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    stored_body: str
    stored_attributes: str = ""


def read(queue_name: str, message: "MessageTypeDef", *, whole: bool = True) -> DeadLetter:
    """The dead letter in a message received from the queue `queue_name`, with all its attributes.

    Without `whole`, what lies in the payload bucket is not fetched: its arguments, or its body, are left out.
    """
    message_id, body = message["MessageId"], message["Body"]
    sent_at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    found: Any = message.get("MessageAttributes", {})
    failure, attributes = failure_in(found), of_sender(found)
    try:
        stored = msgspec.json.decode(body, type=_Stored)
        if whole:
            body = payloads.load(queue_name, stored.stored_body).decode()
        if whole and stored.stored_attributes:
            attributes = unpacked(payloads.load(queue_name, stored.stored_attributes).decode())
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        pass  # the usual case: the body is here
    try:
        task = decode(body)
    except (Malformed, NewerVersion):
        return DeadLetter(message_id, task_of(body), {}, failure, body, sent_at, attributes)
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
        attributes,
    )
