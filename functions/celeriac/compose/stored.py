"""A message that is stored to be sent later: the callback of a batch, or a later step of a chain."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from celeriac.enqueue.send import Parcel, fitted
from celeriac.model import settings
from celeriac.model.errors import CeleriacError
from celeriac.model.message import Message, decode, encode
from celeriac.model.queue import Queue

MOST_BYTES = 100_000
"""The most bytes of a stored message with its arguments. DynamoDB's item holds 400 KB, and each of its writes is paid
by the KB. Larger arguments are stored in S3."""
_OURS = UUID("2f0a5c3e-7a44-4f0e-9d1b-6c1f4a1f7f21")
"""The namespace of derived ids: any fixed one will do."""


class StoredTooLargeError(CeleriacError, ValueError):
    """Arguments that can't be stored, because they are yet to be filled in."""


class Stored(Struct, frozen=True, omit_defaults=True):
    """A message, and how it is sent."""

    message: str
    """The body, without dates."""
    delay: float = 0.0
    """Seconds."""
    group: str | None = None
    expires: float | None = None
    """Seconds after it was sent."""


def derived(*parts: object) -> str:
    """The id of a message that is made of these parts: the same parts, the same id."""
    return str(uuid5(_OURS, "\n".join(map(str, parts))))


def stored(parcel: Parcel, *, has_gaps: bool = False) -> str:
    """A parcel as JSON, to be kept in an item. Large arguments are stored in S3, for as long as a batch may take.

    has_gaps: the arguments aren't complete yet. Raises StoredTooLargeError if such arguments are too large, and AWS's
    errors.
    """
    message, name = parcel.message, parcel.queue.physical_name(settings.stage())
    expires = None
    if message.expires_at is not None:
        expires = max((message.expires_at - datetime.now(UTC) - parcel.delay).total_seconds(), 0.0)
    bare = replace(message, enqueued_at=None, due_at=None, expires_at=None)
    body = fitted(name, bare, MOST_BYTES, long=True) if not has_gaps else _whole(bare)
    made = Stored(body, parcel.delay.total_seconds(), parcel.group, expires)
    return msgspec.json.encode(made).decode()


def _whole(message: Message) -> str:
    body = encode(message)
    if len(body.encode()) > MOST_BYTES:
        raise StoredTooLargeError(
            f"task {message.task!r}: its arguments have {len(body.encode()):,} bytes, and beside a RESULT "
            f"{MOST_BYTES:,} are the most: keep them in S3, and pass the key"
        )
    return body


def parcel_of(text: str, queue: Queue, **changes: object) -> Parcel:
    """The parcel that is sent now, with `changes` of its message. Raises what `decode` raises."""
    kept = msgspec.json.decode(text, type=Stored)
    now, delay = datetime.now(UTC), timedelta(seconds=kept.delay)
    dates = {
        "enqueued_at": now,
        "due_at": now + delay if delay else None,
        "expires_at": now + delay + timedelta(seconds=kept.expires) if kept.expires is not None else None,
    }
    return Parcel(queue, replace(decode(kept.message), **{**dates, **changes}), delay, kept.group)
