"""The item of a `Unique` task: which of equal messages waits or runs, its holder, and until when it is that.

A producer reads the item, sends its message, and then takes the item. Taken first, a producer that dies would leave a
holder that was never sent, and the next caller would be told that his work is on its way. But a message may have run
before its producer takes the item, or was dropped. So every other write changes the item's `stamp`, and so does a
message that is dropped for what its producer may have read. A producer's write needs the stamp that it has read before
the send; all that may have happened since is that the holder of then has freed the item. No clock decides that.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from celeriac.flow import rows
from celeriac.flow.rows import Item, Refused, Write
from celeriac.leases import states
from celeriac.model.message import new_id
from celeriac.model.once import Until

_HOLD = ("holder", "holder_key", "holder_group", "redriven", "held_until", "starts_at", "enqueued_at", "came")


class Holder(Struct, frozen=True):
    """The message that holds an item."""

    id: str
    key: str
    """Its whole idempotency key, `<task>:<value>`."""
    until: int
    """When the item is free again by itself, in microseconds since 1970."""
    redriven: str = ""
    """The redrive that it comes from; empty for a message that was never dead. See `celeriac.leases.claim.Claim`."""
    group: str = ""
    """Its group on a FIFO queue."""
    starts_at: int = 0
    """When it is due, in microseconds since 1970."""
    enqueued_at: int = 0
    """When it was enqueued, in microseconds since 1970."""
    came: bool = False
    """Whether it took the item when it arrived. Else its producer did."""

    @property
    def due(self) -> datetime:
        """When it is due."""
        return rows.instant(self.starts_at)


# They fit into an item of 1 KB, which is the unit of a write.
MOST_REPLACED = 20


class Mine(Struct, kw_only=True):
    """What a message that has arrived is to its task's item."""

    item: str
    """The item's key."""
    id: str
    until: Until
    redriven: str = ""
    """The redrive that the message comes from."""
    keeps_until: int = 0
    """Until when its item tells which messages were replaced, in microseconds since 1970."""
    has_record: bool = True
    """Whether a record tells a copy of the message that the task is over. Not for at_least_once."""
    has_begun: bool = False
    """Whether it is known to have begun before. Then it is never dropped because another message holds the item."""
    has_taken: bool = False
    """Whether it took the item now, when it arrived."""
    ended: str | None = None
    """The redrive that has ended, if a later redrive of the message may hold the item by now. None: none can."""


def holder_of(item: Mapping[str, Any]) -> Holder | None:
    """Who holds an item; None if it is free, or its holder's time is over."""
    if "holder" not in item or int(item["held_until"]) < rows.now():
        return None
    return Holder(
        id=item["holder"],
        key=item["holder_key"],
        until=int(item["held_until"]),
        redriven=item.get("redriven", ""),
        group=item.get("holder_group", ""),
        starts_at=int(item.get("starts_at", 0)),
        enqueued_at=int(item.get("enqueued_at", 0)),
        came=bool(int(item.get("came", 0))),
    )


def replaced_in(item: Mapping[str, Any]) -> list[str]:
    """The last messages that were replaced before they started. One that comes after its replacement must not run."""
    return str(item.get("replaced", "")).split()


def is_over(record: Mapping[str, Any], holder: Holder, until: Until, *, once: bool) -> bool:
    """Whether a holder has the item by mistake, as the record of its key tells: it will not run any more.

    Or it has begun, of a task that is unique until then: a copy that SQS has delivered has taken the item again.

    once: the task is at_most_once, so a key runs once, whichever message brings it.
    """
    if not record or int(record.get("expiration", 0)) < rows.now() // 1_000_000:
        return False
    match record.get("status"):
        case states.COMPLETED:
            return True
        case states.DEAD if record.get("task_id") == holder.id:
            # The record of a letter that was redriven stays as it is until the letter is claimed.
            return bool(record.get("redriven", "") == holder.redriven)
        case states.DEAD:
            return once and not states.has_expired(record)
        case _:
            return until == "started" and states.has_begun(record, holder.id)


def take_sent(
    key: str, mine: Holder, seen: Item, *, instead_of: Holder | None, replaces: bool = False
) -> Holder | None:
    """Take an item for a message that was sent, unless a message has taken or freed it since it was `seen`.

    seen: the item as it was, also if it had expired: the producer's clock may be wrong.
    instead_of: who held it then, if that one is over, or is to be replaced. It may have freed the item since, and that
    alone.
    replaces: it is to be replaced.

    Returns who holds the item now; None if nobody does: then the message takes it when it arrives. Raises AWS's errors.
    """
    conditions = [f"attribute_not_exists({rows.KEY})"]
    values: dict[str, object] = {}
    if "stamp" in seen:
        conditions.append("stamp = :seen")
        values[":seen"] = seen["stamp"]
    if instead_of is not None:
        conditions.append("(attribute_not_exists(holder) AND freed = :seen)")
    write, lives_until = _taking(mine, conditions, values), mine.until
    if replaces and instead_of is not None:
        replaced = " ".join([*replaced_in(seen), instead_of.id][-MOST_REPLACED:])
        kept = max(int(seen.get("keeps_until", 0)), instead_of.until)
        more: dict[str, object] = {":replaced": replaced, ":kept": kept}
        sets = [*write.sets, "replaced = :replaced", "keeps_until = :kept"]
        write, lives_until = Write(write.condition, {**write.values, **more}, sets), max(lives_until, kept)
    came = rows.update(key, write, lives_until=lives_until)
    return mine if not isinstance(came, Refused) else holder_of(came.found)


def take(key: str, mine: Holder, *, instead_of: Holder | None = None, keeps_until: int = 0) -> Holder | None:
    """Take an item for a message that has arrived, if it is free, or held by itself or by `instead_of`.

    Returns who holds the item now; None if the one that refused this has freed it meanwhile. Raises AWS's errors.
    """
    conditions = ["attribute_not_exists(holder)", "held_until < :now", "holder = :holder"]
    values: dict[str, object] = {":now": rows.now()}
    if instead_of is not None:
        conditions.append("(holder = :other AND redriven = :its)")
        values |= {":other": instead_of.id, ":its": instead_of.redriven}
    mine = replace(mine, came=True)
    came = rows.update(key, _taking(mine, conditions, values), lives_until=max(mine.until, keeps_until))
    return mine if not isinstance(came, Refused) else holder_of(came.found)


def _taking(mine: Holder, conditions: list[str], values: Mapping[str, object]) -> Write:
    sets = {
        "holder": mine.id,
        "holder_key": mine.key,
        "holder_group": mine.group,
        "redriven": mine.redriven,
        "held_until": mine.until,
        "starts_at": mine.starts_at,
        "enqueued_at": mine.enqueued_at,
        "came": int(mine.came),
        "stamp": new_id(),
    }
    return Write(
        " OR ".join(conditions),
        {**values, **{f":{name}": value for name, value in sets.items()}},
        [f"{name} = :{name}" for name in sets],
    )


def free(mine: Mine) -> bool:
    """Free the item, if the message holds it. Returns whether it did. Raises AWS's errors."""
    stamp = new_id()
    condition, values = "holder = :me", {":me": mine.id, ":stamp": stamp}
    if mine.ended is not None:
        condition += " AND redriven IN (:ended, :own)"
        values |= {":ended": mine.ended, ":own": mine.redriven}
    write = Write(condition, values, ["freed = stamp", "stamp = :stamp"], _HOLD)
    came = rows.update(mine.item, write, lives_until=mine.keeps_until)
    # An earlier try of this call may have been carried out, and its answer was lost.
    return not isinstance(came, Refused) or came.found.get("stamp") == stamp


def extend(mine: Mine, until: datetime) -> None:
    """Let the message hold its item for longer, if it holds it. Raises AWS's errors."""
    end = rows.microseconds(until)
    values = {":me": mine.id, ":until": end, ":stamp": new_id()}
    write = Write("holder = :me AND held_until < :until", values, ["held_until = :until", "stamp = :stamp"])
    rows.update(mine.item, write, lives_until=max(end, mine.keeps_until))


def refuse_late(mine: Mine, holder: Holder | None) -> bool:
    """Let the producer of a message that is dropped not take the item any more. `holder` holds it, or nobody does.

    Returns False if that isn't so any more. Raises AWS's errors.
    """
    values: dict[str, object] = {":stamp": new_id()}
    if holder is None:
        write = Write("attribute_not_exists(holder)", values, ["stamp = :stamp"], ["freed"])
        return not isinstance(rows.update(mine.item, write, lives_until=mine.keeps_until), Refused)
    values |= {":other": holder.id, ":its": holder.redriven}
    write = Write("holder = :other AND redriven = :its", values, ["stamp = :stamp"])
    lives_until = max(holder.until, mine.keeps_until)
    return not isinstance(rows.update(mine.item, write, lives_until=lives_until), Refused)


def lasting(until: Until, retention: timedelta, begin: datetime) -> int:
    """Until when a message holds its item that is due at `begin`, in microseconds since 1970.

    Its time is given, or it is as long as SQS keeps the message.
    """
    return rows.microseconds(begin + (until if isinstance(until, timedelta) else retention))
