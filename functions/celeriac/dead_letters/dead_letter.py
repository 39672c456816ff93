"""The form of dead letters: reading one from a message of its queue, and writing one whose body can't be read."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from celeriac.aws import payloads, sqs
from celeriac.aws.attributes import FAILURE_ATTRIBUTE, Attributes, beside, failure_in, of_sender, packed, text, unpacked
from celeriac.aws.client import error_code
from celeriac.model.failure import Failure, error_type
from celeriac.model.lenient import id_of, task_of
from celeriac.model.message import MalformedMessageError, Message, NewerVersionError, decode
from celeriac.model.payload import PayloadError
from celeriac.model.queue import MAX_MESSAGE_BYTES
from celeriac.observe.log import logger

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef


_EARLIEST = datetime.fromtimestamp(0, UTC)


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that won't run again unless a person redrives it."""

    id: str
    """The id in the body; SQS's message id if the body has none or can't be read."""
    task: str
    """The task's name; empty if the body doesn't tell it."""
    args: dict[str, Any]
    failure: Failure | None
    """Why the message is a dead letter; None if SQS itself moved it, after more receives than the queue allows.

    Its dates are in UTC, and not later than `sent_at`: a sender may have written them."""
    body: str
    """The body. If an unreadable body was stored in the payload bucket, this is the stored body."""
    sent_at: datetime
    attributes: Attributes = msgspec.field(default_factory=dict)
    """The message attributes of the sender."""
    missing: str = ""
    """Why the stored body, attributes or arguments couldn't be read; empty if nothing is missing."""


def ids(message: "MessageTypeDef") -> set[str]:
    """The ids by which a letter can be found: SQS's id, and the id in the body if it can be read."""
    task = _message(message["Body"])
    return {message["MessageId"], task.id if task is not None else id_of(message["Body"])} - {""}


class _Stored(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of a dead letter whose own body is in S3, and if needed its sender's attributes too."""

    stored_body: str
    stored_attributes: str = ""


def read(queue_name: str, message: "MessageTypeDef", *, whole: bool = True) -> DeadLetter:
    """The dead letter in a message that was received from the queue `queue_name` with all its attributes.

    Without `whole`, nothing is fetched from the payload bucket: stored arguments, or a stored body, are left out.

    Never raises: anyone who may send to a queue can write its letters, and one letter must not hide the others. What
    can't be read is left out, and `missing` says why.
    """
    sent_at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    try:
        return _read(queue_name, message, sent_at, whole=whole)
    except Exception as error:  # noqa: BLE001 - an oddity that nobody has foreseen; the letter says what it was
        why = f"it can't be read: {error_type(error)}"
        return DeadLetter(message["MessageId"], "", {}, None, message["Body"], sent_at, missing=why)


def _read(queue_name: str, message: "MessageTypeDef", sent_at: datetime, *, whole: bool) -> DeadLetter:
    message_id, body = message["MessageId"], message["Body"]
    found: Any = message.get("MessageAttributes", {})
    failure, attributes = failure_in(found), of_sender(found)
    missing = ""
    if whole and (stored := _stored(body)) is not None:
        whole_body, missing = content(payloads.load_body, queue_name, stored.stored_body)
        body = body if missing else whole_body.decode(errors="backslashreplace")
        if stored.stored_attributes:
            theirs, gone = content(payloads.load_body, queue_name, stored.stored_attributes)
            attributes = unpacked(theirs.decode(errors="backslashreplace"))
            missing = missing or gone
    task = _message(body)
    if task is None:
        failure = _bounded(failure, sent_at)
        return DeadLetter(message_id, task_of(body), {}, failure, body, sent_at, attributes, missing)
    raw: bytes | msgspec.Raw = task.args
    if task.stored and whole:
        raw, gone = content(payloads.load, queue_name, task.stored)
        missing = missing or gone
    try:
        args = msgspec.json.decode(raw) if not missing else {}
    except (msgspec.MsgspecError, RecursionError):
        args = {}
    return DeadLetter(
        task.id or message_id,
        task.task,
        args if isinstance(args, dict) else {"": args},
        _bounded(failure or task.failure, sent_at),
        body,
        sent_at,
        attributes,
        missing,
    )


def _message(body: str) -> Message | None:
    """The task's message in a body; None if this release can't read it."""
    try:
        return decode(body)
    except (MalformedMessageError, NewerVersionError):
        return None


def _bounded(failure: Failure | None, sent_at: datetime) -> Failure | None:
    """The failure with dates that can be compared: with a time zone, and not later than the letter's send.

    A letter is sent after its failure. A later date, or one without a zone, is a sender's.
    """
    if failure is None:
        return None
    first_at, last_at = (_date(written, sent_at) for written in (failure.first_at, failure.last_at))
    return replace(failure, first_at=first_at, last_at=last_at)


def _date(written: datetime | None, latest: datetime) -> datetime | None:
    if written is None:
        return None
    zoned = written if written.tzinfo is not None else written.replace(tzinfo=UTC)
    # Between these two, every date can be converted to UTC.
    return min(max(zoned, _EARLIEST), latest).astimezone(UTC)


def unreadable(came: sqs.Entry, failure: Failure, *, queue_name: str) -> sqs.Entry:
    """The entry for an unreadable body: byte for byte, with the sender's attributes and the failure as attributes.

    If this doesn't fit into a message, the body is stored in S3, and if needed the sender's attributes too.

    came: the body and the sender's attributes, with the group and the deduplication id of the dead letter.
    """
    renew_payloads(queue_name, came.body)
    ours = text(FAILURE_ATTRIBUTE, msgspec.json.encode(failure).decode())
    letter = replace(came, attributes=beside(came.attributes, ours))
    if letter.size <= MAX_MESSAGE_BYTES:
        return letter
    stored = _Stored(payloads.store_body(queue_name, came.body.encode()))
    letter = replace(letter, body=msgspec.json.encode(stored).decode())
    if letter.size <= MAX_MESSAGE_BYTES:
        return letter
    theirs = packed(came.attributes).encode()
    stored.stored_attributes = payloads.store_body(queue_name, theirs)
    return replace(came, body=msgspec.json.encode(stored).decode(), attributes=ours)


class _Keys(msgspec.Struct):
    """The keys of stored payloads in a body that may be of any version, or a dead letter's."""

    stored: str = ""
    stored_body: str = ""
    stored_attributes: str = ""


def renew_payloads(queue_name: str, body: str) -> None:
    """Let the payloads that an unreadable body points to live as long as the body, which is sent on unchanged.

    If S3 can't be reached, this is logged, and the body is sent on: usually its payloads have weeks left.
    """
    try:
        keys = msgspec.json.decode(body, type=_Keys)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return
    for key in (keys.stored, keys.stored_body, keys.stored_attributes):
        try:
            payloads.renew(queue_name, key)
        except Exception as error:
            if not error_code(error):
                raise
            logger.warning("payload not renewed", extra={"error": error_code(error)})


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


def content(load: Callable[[str, str], bytes], queue_name: str, key: str) -> tuple[bytes, str]:
    """What `load` reads from the payload bucket under `key`, or why it can't be read. Never raises.

    Any sender may write a key, and the bucket may be denied or out of reach: that must not stop the reading of others.
    """
    try:
        return load(queue_name, key), ""
    except PayloadError as error:
        return b"", str(error)
    except Exception as error:  # noqa: BLE001 - the letter says which one
        return b"", f"its payload, stored as {key}, can't be read: {error_code(error) or error_type(error)}"
