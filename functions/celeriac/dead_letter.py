"""A dead letter, read back from the queue it lies in."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac import payloads
from celeriac.aws import error_code
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
    missing: str = ""
    """Why the stored body or the stored arguments couldn't be had; empty where nothing is missing."""


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
    missing = ""
    if whole and (key := stored_body(body)) is not None:
        content, missing = _content(queue_name, key)
        body = body if missing else content.decode(errors="backslashreplace")
    try:
        task = decode(body)
    except (Malformed, NewerVersion):
        return DeadLetter(message_id, "", {}, failure, body, sent_at, missing)
    raw: bytes | msgspec.Raw = task.args
    if task.stored and whole:
        raw, missing = _content(queue_name, task.stored)
    try:
        args = msgspec.json.decode(raw) if not missing else {}
    except (msgspec.MsgspecError, RecursionError):
        args = {}
    return DeadLetter(
        task.id or message_id,
        task.task,
        args if isinstance(args, dict) else {"": args},
        failure or task.failure,
        body,
        sent_at,
        missing,
    )


def stored_body(body: str) -> str | None:
    """The key under which the whole body lies in the payload bucket; None where `body` is the body itself."""
    try:
        return msgspec.json.decode(body, type=_Stored).stored_body
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return None


def _content(queue_name: str, key: str) -> tuple[bytes, str]:
    """What was stored, or why it can't be had: a stranger's key must not keep others from being read."""
    try:
        return payloads.load(queue_name, key), ""
    except payloads.PayloadGone as error:
        return b"", str(error)
    except Exception as error:
        if not error_code(error):
            raise
        return b"", f"its payload, stored as {key}, can't be read: {error_code(error)}"
