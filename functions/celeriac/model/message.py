"""The message: JSON in the SQS body, with a version, small, and easy to write by hand in any language.

`{"task": "send_welcome_email", "args": {"user_id": 7}}` is a complete message. Celeriac's producer adds more fields.
Messages of all older versions can be decoded for ever; tests/unit/messages holds a sample of each version.
"""

import os
import time
from datetime import datetime
from typing import Annotated, Any

import msgspec

from celeriac.model import foreign_events, headers, lenient
from celeriac.model.errors import CeleriacError
from celeriac.model.failure import Failure
from celeriac.model.following import OfBatch, OfChain
from celeriac.model.forks import Lock

VERSION = 4
"""The newest version that this release reads, and that of a message of a batch or a chain."""
PART_VERSION = 3
"""The version of a message with a `tick` or a `part`."""
STEP_VERSION = 2
"""The version of a message with a `step`."""
FIRST_VERSION = 1
"""The version that every release reads."""
MOST_KEY = 1024
"""The most characters of a key that a sender gives."""
MOST_SLOTS = 20
"""More limits than a task can have, in any release."""


NO_ARGS = msgspec.Raw(b"{}")


class MalformedMessageError(CeleriacError, ValueError):
    """A body that no version of this library can read. Retrying can't help."""


class NewerVersionError(CeleriacError, ValueError):
    """A message from a newer release than this one. A deploy is under way, so the message may be readable soon."""


class Message(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One task to run. `args` is the sender's JSON, byte for byte, until the task's signature reads it."""

    v: int = FIRST_VERSION
    id: Annotated[str, msgspec.Meta(max_length=128)] = ""
    """A UUIDv7, made before the message is sent. It never changes: not by retries, redrives, edits or replays."""
    task: Annotated[str, msgspec.Meta(min_length=1, max_length=lenient.MOST_NAME)]
    args: msgspec.Raw = NO_ARGS
    stored: str = ""
    """Where `args` are stored if they are too large for the queue: a key in the stage's payload bucket."""
    key: Annotated[str, msgspec.Meta(max_length=MOST_KEY)] | None = None
    """The idempotency key: chosen by the sender, or made of the task's key parameter by the producer."""
    key_source: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """A hash of the value that `key` was made of; empty if the sender chose the key."""
    enqueued_at: datetime | None = None
    due_at: datetime | None = None
    """When the first attempt is due, if the sender asked for a delay."""
    expires_at: datetime | None = None
    """When the message is worth nothing any more: if it hasn't started by then, it is cancelled. A release that doesn't
    know it ignores it."""
    attempt: Annotated[int, msgspec.Meta(ge=1)] = 1
    """The number of the attempt that the next run will be."""
    step: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How many runs of this attempt ended without being charged, by `Retry(charge=False)`."""
    waits_since: datetime | None = None
    """When the first of those uncharged runs ended."""
    slots: Annotated[dict[str, int], msgspec.Meta(max_length=MOST_SLOTS)] | None = None
    """When the message may start, as its limits have promised: milliseconds since 1970, by the limit's name. It is a
    hint: who writes a slot gets ahead of the line, and past no limit. A release that doesn't know it ignores it."""
    waits_for: Annotated[str, msgspec.Meta(max_length=128)] = ""
    """What the message waits for, such as a limit's name; empty if it was sent to run."""
    waited: Annotated[int, msgspec.Meta(ge=0)] = 0
    """For how many seconds it had waited for limits when it was sent. They don't count as its age."""
    throttled: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How many runs in a row have ended in `Throttled`."""
    tick: Annotated[str, msgspec.Meta(max_length=128)] = ""
    """On the message that ends a burst of a debounced task, and on the retries and letters of what it ran: which burst
    it is."""
    part: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How often the task has gone on in another invocation, from the cursor in its record."""
    batch: OfBatch | None = None
    """The batch that the message belongs to. In a body of an older version it isn't ours, and is left out."""
    chain: OfChain | None = None
    """The message's place in a chain. In a body of an older version it isn't ours, and is left out."""
    failure: Failure | None = None
    headers: dict[str, str] | None = None
    """What hooks send along, see `celeriac.model.headers`. A release that doesn't know them ignores them."""

    @property
    def is_composed(self) -> bool:
        """Whether a batch or a chain waits for this message."""
        return self.batch is not None or self.chain is not None

    @property
    def turn(self) -> str:
        """A text that is different for each run of one id: `<attempt>`, or `<attempt>.<step>` after uncharged runs."""
        return f"{self.attempt}.{self.step}" if self.step else str(self.attempt)


OPTIONAL = frozenset(Message.__struct_fields__) - {"task"}
MISPLACEABLE = frozenset(
    {"headers", "expires_at", "slots", "waits_for", "waited", "throttled", "tick", "part"} | {"batch", "chain"}
)
"""Fields that hand-written messages had before Messages did: there they may be a task's parameter."""


_LATER = frozenset({"batch", "chain"})
"""Fields that older bodies may have for their sender's own sake."""


class _Version(msgspec.Struct):
    v: int = FIRST_VERSION


_NOT_ZERO = frozenset({"step", "waited", "throttled", "part"})
"""Fields that are left out of a message while they are zero."""
_last_tick = 0
_minting = Lock()
# Ten seconds, in ticks.
_STEP_BACK = 10_000 << 12

_encoder = msgspec.json.Encoder()
_version = msgspec.json.Decoder(_Version)
_message = msgspec.json.Decoder(Message)


def encode(message: Message) -> str:
    """Return the SQS body of `message`."""
    # `v` is always written, because a body without `v` is of version 1 for ever. A release that doesn't know `step`
    # would take the message for a copy of the run before, and drop it. With version 2 such a release lets it wait. One
    # that doesn't know `tick` would run a task without its arguments, and one that doesn't know `part` would begin it
    # again, without its cursor. One that doesn't know `batch` or `chain` would run it, and what follows never started.
    fields = {"v": _version_of(message)} | {
        name: value
        for name in message.__struct_fields__
        if (value := getattr(message, name)) not in ("", None) and name != "v" and (value or name not in _NOT_ZERO)
    }
    # JSON allows these two characters, SQS refuses them. They only occur inside a string, where JSON allows escapes.
    return _encoder.encode(fields).decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _version_of(message: Message) -> int:
    if message.batch is not None or message.chain is not None:
        return VERSION
    if message.tick or message.part:
        return PART_VERSION
    return STEP_VERSION if message.step else FIRST_VERSION


def decode(body: str) -> Message:
    """Return the message in an SQS body.

    Raises MalformedMessageError for a body that isn't a message, and NewerVersionError for a message that only a newer
    release can read.
    """
    body = body.removeprefix(lenient.BYTE_ORDER_MARK)
    try:
        try:
            message = _decoded(body)
        except msgspec.ValidationError:
            message = _decoded(lenient.with_what_is_set(body, OPTIONAL, unless_version=(VERSION, _LATER)))
    # A body nested some thousand levels deep raises RecursionError, a lone surrogate raises UnicodeEncodeError.
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError) as error:
        likely = foreign_events.looks_like(body)
        why = f"it looks like {likely}" if likely is not None else lenient.problem(body) or error
        raise MalformedMessageError(f"not a message: {why}") from error
    message = _as_set(message)
    if message.args == NO_ARGS and not message.stored and (name := lenient.misnamed_args(body)) is not None:
        raise MalformedMessageError(
            f"not a message: its arguments are missing, and `{name}` looks like them: "
            "a message has them as `args`, an object of the task's parameters"
        )
    return message


def _decoded(body: str | bytes) -> Message:
    version = _version.decode(body).v
    if version > VERSION:
        raise NewerVersionError(f"the message is of version {version}, this release reads up to {VERSION}")
    return _message.decode(body)


def _as_set(message: Message) -> Message:
    """Return the message with the default in each field in which the sender's language wrote a zero value."""
    changes: dict[str, Any] = {}
    if lenient.is_no_text(message.id):
        changes["id"] = ""
    if message.key is not None and lenient.is_no_text(message.key):
        changes["key"] = None
    if message.enqueued_at is not None and lenient.is_no_date(message.enqueued_at):
        changes["enqueued_at"] = None
    if message.due_at is not None and lenient.is_no_date(message.due_at):
        changes["due_at"] = None
    if message.expires_at is not None and lenient.is_no_date(message.expires_at):
        changes["expires_at"] = None
    if message.waits_since is not None and lenient.is_no_date(message.waits_since):
        changes["waits_since"] = None
    if message.failure is not None and not message.failure.reason:
        changes["failure"] = None
    if message.v == 0:
        changes["v"] = FIRST_VERSION
    if message.v < VERSION and (message.batch is not None or message.chain is not None):
        changes |= dict.fromkeys(_LATER)
    if lenient.is_no_args(message.args):
        changes["args"] = NO_ARGS
    if message.headers is not None and (fitting := headers.kept(message.headers) or None) != message.headers:
        changes["headers"] = fitting
    return msgspec.structs.replace(message, **changes) if changes else message


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562, method 3). Ids of one process sort in the order in which they were made.

    Ids of several processes sort by time, to a quarter of a microsecond: 12 bits divide a millisecond into such steps.
    """
    global _last_tick  # noqa: PLW0603 - a process has one clock
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    tick = milliseconds << 12 | (rest << 12) // 1_000_000
    with _minting:
        # If the clock stands still, or was set back by less than ten seconds, the id comes one tick after the last id.
        # If the clock was set back further, its new time is used.
        tick = _last_tick = _last_tick + 1 if 0 <= _last_tick - tick < _STEP_BACK else tick
    bits = (tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0x2 << 62 | int.from_bytes(os.urandom(8)) >> 2
    text = f"{bits:032x}"  # str(UUID(int=bits)) is the same, at almost three times the cost
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
