"""A dead letter, read back from the queue it lies in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from celeriac import payloads
from celeriac.failure import Failure
from celeriac.message import Malformed, NewerVersion, decode
from celeriac.settle import FAILURE_ATTRIBUTE


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
    """The body as it was sent, whole: also where a copy in the payload bucket stands for it."""
    sent_at: datetime


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    stored_body: str


def read(
    queue_name: str, message_id: str, body: str, attributes: Mapping[str, str | None], sent_at: datetime
) -> DeadLetter:
    """The dead letter in an SQS message of the queue `queue_name`; `attributes` are its message attributes' texts."""
    noted = attributes.get(FAILURE_ATTRIBUTE)
    failure = msgspec.json.decode(noted, type=Failure) if noted else None
    try:
        stored = msgspec.json.decode(body, type=_Stored)
        body = payloads.load(queue_name, stored.stored_body).decode()
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        pass  # the usual case: the body is here
    try:
        message = decode(body)
    except (Malformed, NewerVersion):
        return DeadLetter(message_id, "", {}, failure, body, sent_at)
    raw = payloads.load(queue_name, message.stored) if message.stored else message.args
    args = msgspec.json.decode(raw)
    return DeadLetter(
        message.id or message_id,
        message.task,
        args if isinstance(args, dict) else {"": args},
        failure or message.failure,
        body,
        sent_at,
    )
