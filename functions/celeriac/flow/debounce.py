"""A `Debounce`: of messages with the same values, the last one runs, once it has been quiet for a while.

Each message writes itself into the item of its values, unless a newer one stands there. The first of a burst also sends
a tick, a message that comes back when it may be quiet. The tick that finds the burst over takes it, and runs the last
message as if that had come itself.

A burst is open as long as the item has a `tick`. Who took the last one is its `taker`. So of all that has been taken,
only what the taker runs may still start: docs/decisions/0050-debounce.md.

What comes first is decided by SQS's clock: if producers' clocks did, one that is ahead would win for ever.
"""

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal, NamedTuple

from msgspec import Struct

from celeriac.flow import rows
from celeriac.flow.rows import Item, Refused, Write
from celeriac.model.message import Message

LIVES = timedelta(days=32)
"""How long an item is kept after its last message: longer than the message, or its dead letter, may come again."""
LOST_AFTER = timedelta(days=1)
"""A tick that is overdue for so long may have been deleted by somebody. The next message sends it again: the same one,
because it may also wait behind a backlog, or for a limit. If each day's messages replaced it, nothing would ever run.
"""
SHORTEST = timedelta(seconds=1)
"""The least time between two runs: behind a backlog all messages are old, and each would be a burst."""
_TICK = timedelta(microseconds=1)
# A tick's text: the item that it is about, and the burst.
_NAMED = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{32}", re.ASCII)
_MOST_TRIES = 3


class Pace(NamedTuple):
    """The times of a declaration. Without one, because a release has dropped it, a burst is over at once."""

    period: timedelta = timedelta()
    longest: timedelta = timedelta()


class Newcomer(Struct, frozen=True):
    """A message that is to be gathered."""

    message: Message
    body: str
    """The message, as its run will get it."""
    trace: str | None = None
    tenant: str | None = None
    """Its group on a standard queue."""

    @property
    def order(self) -> str:
        """A text that sorts by when SQS got the messages; of two in the same millisecond, by their ids."""
        sent_at = self.message.enqueued_at or datetime.now(UTC)
        return f"{rows.microseconds(sent_at) // 1_000:015d}|{self.message.id}"

    @property
    def arrived_at(self) -> int:
        """When it came, its sender's delay included. Not after now, whatever the clocks say."""
        at = self.message.due_at or self.message.enqueued_at or datetime.now(UTC)
        return min(rows.microseconds(at), rows.now())


def tick_of(key: str, message_id: str) -> str:
    """The tick of the burst that a message opens: the same one, however often the message is delivered."""
    return f"{key.rpartition('#')[2]}.{sha256(message_id.encode(errors='surrogatepass')).hexdigest()[:32]}"


def is_tick(text: str) -> bool:
    """Whether a message's `tick` is one of these. Anybody may write another one, which says nothing."""
    return _NAMED.fullmatch(text) is not None


def key_of(queue: str, task: str, tick: str) -> str:
    """The key of the item that a tick is about."""
    return f"{rows.DEBOUNCE}{queue}#{task}#{tick.partition('.')[0]}"


def due_at(item: Item, pace: Pace) -> int:
    """When an open burst is over, as far as its item tells."""
    quiet, latest = int(item["last_at"]) + pace.period // _TICK, int(item["first_at"]) + pace.longest // _TICK
    return min(quiet, latest)


def wait(item: Item, pace: Pace) -> timedelta:
    """How long a tick is to wait before it comes back."""
    return max((due_at(item, pace) - rows.now()) * _TICK, SHORTEST)


def has_newer(item: Item, message_id: str, due: datetime) -> bool:
    """Whether another message was due later than this one, and is the last one that was gathered.

    due: when this one was due, by its sender's clock. SQS's date of it isn't known any more.
    """
    if not item or str(item["last_id"]).partition("|")[2] == message_id:
        return False
    # SQS's dates are whole milliseconds, rounded down.
    return int(item["last_at"]) >= rows.microseconds(due) // 1_000 * 1_000


def state_of(item: Item, tick: str) -> Literal["open", "taken", "over"]:
    """What an item says of a tick's burst: it stands, the tick has taken it and nothing newer stands, or neither."""
    if item.get("tick") == tick:
        return "open"
    return "taken" if item.get("taker") == tick and "tick" not in item else "over"


def gather(key: str, newcomer: Newcomer, pace: Pace) -> Item:
    """Write a message into its item, unless a newer one stands there. Returns the item as it is now.

    If the message is its sender, see `sends`, it must send the tick before it is acknowledged: also if it was refused
    as older, because its worker may have died before it sent the tick.

    Raises AWS's errors.
    """
    for _ in range(_MOST_TRIES):
        came = _gathered(key, newcomer)
        if not isinstance(came, Refused):
            return _with_a_tick(key, newcomer, came, pace)
        if rows.living(came.found):
            return _with_a_tick(key, newcomer, came.found, pace)
        # It has expired, and isn't deleted yet: nothing of it counts.
        again = _written(key, newcomer, "expires_at < :seconds", anew=True)
        if not isinstance(again, Refused):
            return again
    raise TimeoutError("the item of a debounced task was written by too many at once")


def _gathered(key: str, newcomer: Newcomer) -> Item | Refused:
    return _written(
        key, newcomer, "attribute_not_exists(last_id) OR (last_id < :order AND expires_at >= :seconds)", anew=False
    )


def _written(key: str, newcomer: Newcomer, condition: str, *, anew: bool) -> Item | Refused:
    now = rows.now()
    values = {
        ":body": newcomer.body,
        ":order": newcomer.order,
        ":at": newcomer.arrived_at,
        ":mine": tick_of(key, newcomer.message.id),
        ":now": now,
        ":seconds": now // 1_000_000,
        ":trace": newcomer.trace or "",
        ":tenant": newcomer.tenant or "",
    }
    sets = ["body = :body", "last_id = :order", "last_at = :at", "trace = :trace", "tenant = :tenant"]
    opens = {"first_at": ":at", "tick": ":mine", "tick_at": ":now"}
    sets += [f"{name} = {value if anew else f'if_not_exists({name}, {value})'}" for name, value in opens.items()]
    return rows.update(
        key, Write(condition, values, sets, ["taker", "sender"] if anew else []), lives_until=_until(now)
    )


def _with_a_tick(key: str, newcomer: Newcomer, item: Item, pace: Pace) -> Item:
    """The item, with this message as the sender of a tick that is lost: else nothing of these values ran again."""
    if "tick" not in item:
        return item
    now = rows.now()
    latest = max(int(item["tick_at"]), int(item["first_at"]) + pace.longest // _TICK)
    if now <= latest + LOST_AFTER // _TICK:
        return item
    write = Write(
        "tick = :lost AND tick_at = :then",
        {
            ":lost": str(item["tick"]),
            ":then": int(item["tick_at"]),
            ":mine": tick_of(key, newcomer.message.id),
            ":now": now,
        },
        ["sender = :mine", "tick_at = :now"],
    )
    came = rows.update(key, write, lives_until=_until(now))
    return came.found if isinstance(came, Refused) else came


def sends(item: Item, key: str, message_id: str) -> bool:
    """Whether a message has to send the item's tick: it opened the burst, or found that the tick was lost."""
    return "tick" in item and item.get("sender", item["tick"]) == tick_of(key, message_id)


def take(key: str, tick: str, pace: Pace) -> Item:
    """Take an open burst if it is over now. Returns the item as it is now, whose state tells whether it was taken.

    Raises AWS's errors.
    """
    now = rows.now()
    write = Write(
        "tick = :tick AND (last_at <= :quiet OR first_at <= :latest)",
        {":tick": tick, ":quiet": now - pace.period // _TICK, ":latest": now - pace.longest // _TICK, ":now": now},
        ["taker = :tick", "taken_at = :now"],
        ["tick", "tick_at", "first_at", "sender"],
    )
    came = rows.update(key, write, lives_until=_until(now))
    # Refused, it may be taken all the same: by an earlier try whose answer was lost.
    return rows.living(came.found) if isinstance(came, Refused) else came


def _until(now: int) -> int:
    return now + (LIVES - rows.LIVES_ON) // _TICK
