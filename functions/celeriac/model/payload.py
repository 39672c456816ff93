"""Stored payloads: their keys, which tell what lies under them, and how long they live.

A key is `<prefix><queue>/<day>/<sha256>-<bytes>`, for example `args/payments/2026-01-01/9f86d0...-300021`. So a reader
knows from the message what it will find, an object is never overwritten by another, and its age is known without a
call. A consumer's role reads the objects of its own queue only: no message can make it read those of another.
"""

import re
from collections.abc import Collection, Iterable
from datetime import date, timedelta
from hashlib import sha256

from msgspec import Struct

from celeriac.model.errors import CeleriacError
from celeriac.model.queue import Queue
from celeriac.model.retry import LONGEST_DELAY

ARGS = "args/"
"""Arguments of messages in queues."""
SCHEDULED = "scheduled/"
"""Arguments of messages that wait longer: in a schedule or in the outbox."""
BODIES = "bodies/"
"""Whole bodies of dead letters, and all attributes of one."""

MOST_BYTES = 16_777_216
"""The largest payload: 16 MiB. Read and decoded, it takes a part of the 512 MiB that a worker has."""

# Within this time a payload counts as new. The key tells the day only, so it may be a day older.
RENEWED_AFTER = timedelta(days=1)
_SLACK = RENEWED_AFTER + timedelta(days=1)

_KEY = re.compile(
    r"(?P<prefix>args/|scheduled/|bodies/)(?P<queue>[a-z][a-z0-9-]{0,36})/"
    r"(?P<day>\d{4}-\d{2}-\d{2})/(?P<hash>[0-9a-f]{64})-(?P<size>\d{1,9})",
    re.ASCII,
)


class PayloadError(CeleriacError, ValueError):
    """A payload can't be stored or read. Retrying can't help."""


class Key(Struct, frozen=True):
    """A key, and what it tells about the object."""

    text: str
    prefix: str
    day: date
    """When the object was stored."""
    hash: str
    """The SHA-256 of the content."""
    size: int
    """The content's bytes."""

    def is_fresh(self, today: date, *, scheduled: bool = False) -> bool:
        """Whether the object outlives every message that is sent `today` and points to it.

        scheduled: the message will wait in a schedule or in the outbox.
        """
        if scheduled and self.prefix != SCHEDULED:
            return False
        most = RENEWED_AFTER + (LONGEST_DELAY if self.prefix == SCHEDULED and not scheduled else timedelta())
        # A date in the future says nothing about the age.
        return timedelta() <= today - self.day <= most

    def problem_of_size(self, size: int) -> str:
        """Why an object of this size isn't what the key names; empty if it may be."""
        if size > MOST_BYTES:
            return f"it has {size} bytes, and {MOST_BYTES} are the most"
        return f"it has {size} bytes, not {self.size}" if size != self.size else ""

    def problem_of(self, content: bytes) -> str:
        """Why the content isn't what was stored under the key; empty if it is."""
        return "it was changed after it was stored" if sha256(content).hexdigest() != self.hash else ""


def key_of(prefix: str, queue: str, content: bytes, today: date) -> Key:
    """The key under which content is stored today for a queue. Raises PayloadError for content that is too large."""
    if len(content) > MOST_BYTES:
        raise PayloadError(f"a payload of {len(content)} bytes is too large: {MOST_BYTES} are the most")
    digest, size = sha256(content).hexdigest(), len(content)
    return Key(f"{prefix}{queue}/{today.isoformat()}/{digest}-{size}", prefix, today, digest, size)


def read_key(text: str, prefixes: Collection[str], queue: str) -> Key:
    """The key in a message of a queue. Raises PayloadError for a text that isn't a key of it, with one of the prefixes.

    Anyone who may send can write a key, and the bucket may hold what isn't theirs.
    """
    found = _KEY.fullmatch(text)
    if found is None or found["prefix"] not in prefixes:
        raise PayloadError(f"{text[:100]!r} is no key of a stored payload")
    if found["queue"] != queue:
        raise PayloadError(f"{text[:100]!r} is a payload of another queue, {found['queue']!r}")
    prefix = found["prefix"]
    try:
        day = date.fromisoformat(found["day"])
    except ValueError as error:
        raise PayloadError(f"{text[:100]!r} is no key of a stored payload: {error}") from error
    return Key(text, prefix, day, found["hash"], int(found["size"]))


def lifetimes(queues: Iterable[Queue], outbox_retention: timedelta) -> dict[str, timedelta]:
    """How long the bucket keeps objects after they were stored, by prefix.

    An object outlives every message that points to it, because a payload that isn't fresh is stored again whenever a
    message that points to it is sent.
    """
    kept = max(queue.record_retention for queue in queues) + _SLACK
    return {ARGS: kept, BODIES: kept, SCHEDULED: kept + max(LONGEST_DELAY, outbox_retention)}
