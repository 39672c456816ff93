"""The form of dead letters: reading one from a message of its queue, and writing one whose body can't be read."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac.aws import payloads, sqs
from celeriac.aws.attributes import FAILURE_ATTRIBUTE, Attributes, beside, failure_in, of_sender, packed, text, unpacked
from celeriac.aws.client import error_code
from celeriac.model.failure import Failure
from celeriac.model.message import MalformedMessageError, NewerVersionError, decode
from celeriac.model.queue import MAX_MESSAGE_BYTES
from celeriac.model.sender import id_of, task_of

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that won't run again unless a person redrives it."""

    id: str
    """The id in the body; SQS's message id if the body has none or can't be read."""
    task: str
    """The task's name; empty if the body doesn't tell it."""
    args: dict[str, Any]
    failure: Failure | None
    """Why the message is a dead letter; None if SQS itself moved it, after more receives than the queue allows."""
    body: str
    """The body. If an unreadable body was stored in the payload bucket, this is the stored body."""
    sent_at: datetime
    attributes: Attributes = field(default_factory=dict)
    """The message attributes of the sender."""
    missing: str = ""
    """Why the stored body, attributes or arguments couldn't be read; empty if nothing is missing."""


def ids(message: "MessageTypeDef") -> set[str]:
    """The ids by which a letter can be found: SQS's id, and the id in the body if it can be read."""
    try:
        id_ = decode(message["Body"]).id
    except (MalformedMessageError, NewerVersionError):
        id_ = id_of(message["Body"])
    return {message["MessageId"], id_} - {""}


class _Stored(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of a dead letter whose own body is in S3, and if needed its sender's attributes too."""

    stored_body: str
    stored_attributes: str = ""


def read(queue_name: str, message: "MessageTypeDef", *, whole: bool = True) -> DeadLetter:
    """The dead letter in a message that was received from the queue `queue_name` with all its attributes.

    Without `whole`, nothing is fetched from the payload bucket: stored arguments, or a stored body, are left out.
    """
    message_id, body = message["MessageId"], message["Body"]
    sent_at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    found: Any = message.get("MessageAttributes", {})
    failure, attributes = failure_in(found), of_sender(found)
    missing = ""
    if whole and (stored := _stored(body)) is not None:
        content, missing = _content(queue_name, stored.stored_body)
        body = body if missing else content.decode(errors="backslashreplace")
        if stored.stored_attributes:
            theirs, gone = _content(queue_name, stored.stored_attributes)
            attributes, missing = ({}, gone) if gone else (unpacked(theirs.decode()), missing)
    try:
        task = decode(body)
    except (MalformedMessageError, NewerVersionError):
        return DeadLetter(message_id, task_of(body), {}, failure, body, sent_at, attributes, missing)
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
        attributes,
        missing,
    )


def unreadable(came: sqs.Entry, failure: Failure, *, queue_name: str, message_id: str) -> sqs.Entry:
    """The entry for an unreadable body: byte for byte, with the sender's attributes and the failure as attributes.

    If this doesn't fit into a message, the body is stored in S3, and if needed the sender's attributes too.

    came: the body and the sender's attributes, with the group and the deduplication id of the dead letter.
    """
    ours = text(FAILURE_ATTRIBUTE, msgspec.json.encode(failure).decode())
    letter = replace(came, attributes=beside(came.attributes, ours))
    if letter.size <= MAX_MESSAGE_BYTES:
        return letter
    stored = _Stored(payloads.store_body(queue_name, message_id, came.body.encode()))
    letter = replace(letter, body=msgspec.json.encode(stored).decode())
    if letter.size <= MAX_MESSAGE_BYTES:
        return letter
    theirs = packed(came.attributes).encode()
    stored.stored_attributes = payloads.store_body(queue_name, f"{message_id}.attributes", theirs)
    return replace(came, body=msgspec.json.encode(stored).decode(), attributes=ours)


def pointing_to(key: str) -> str:
    """The body of a letter whose own body is stored in S3 under `key`."""
    return msgspec.json.encode(_Stored(key)).decode()


def stored_body(body: str) -> str | None:
    """The key under which the whole body is stored in the payload bucket; None if `body` is the body itself."""
    stored = _stored(body)
    return stored.stored_body if stored is not None else None


def _stored(body: str) -> _Stored | None:
    try:
        return msgspec.json.decode(body, type=_Stored)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return None


def _content(queue_name: str, key: str) -> tuple[bytes, str]:
    """The stored content, or why it can't be read. A wrong key in one letter must not stop the reading of others."""
    try:
        return payloads.load(queue_name, key), ""
    except payloads.PayloadGoneError as error:
        return b"", str(error)
    except Exception as error:
        if not error_code(error):
            raise
        return b"", f"its payload, stored as {key}, can't be read: {error_code(error)}"
