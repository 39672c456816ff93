"""The writes on a batch's root: it is entered, sealed, and told what has ended. Each is idempotent."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from celeriac.aws.client import client
from celeriac.flow import rows
from celeriac.flow.batches import items
from celeriac.flow.rows import Item, Refused, Write
from celeriac.model import names
from celeriac.model.following import OfBatch

DUE, DUE_AT = "due", "due_at"
SHARDS = 4
RUNNING, LATE = "batch", "late-batch"
"""The partitions of the index: what the sweeper looks at when it is due, and what should have ended."""
SEALED_AGAIN_AFTER = timedelta(minutes=1)
_NAMES = {
    "#epoch": "epoch",
    "#total": "total",
    "#sealed": "sealed_at",
    "#fired": "fired",
    "#due": DUE,
    "#due_at": DUE_AT,
    "#late": "late_at",
}


class Batch(Struct, frozen=True):
    """A batch as its root tells."""

    id: str
    epoch: str
    total: int | None
    """How many members it has; None while its block runs, or after the block was left by an error."""
    then: str
    """The message of its callback, with how it is sent, as JSON; empty if there is none."""
    dead: str
    dead_seen: bool
    dead_told: bool
    fired: bool
    opened_at: datetime
    sealed_at: datetime | None
    late_at: datetime | None
    key: str = ""
    due: str = ""

    @property
    def is_sealed(self) -> bool:
        """Whether its block was left without an error, so that it has all its members."""
        return self.sealed_at is not None

    def member(self, index: int | None = None) -> OfBatch:
        """What the message of a member says, or that of a callback."""
        return OfBatch(self.id, self.epoch, index)


def of_item(item: Item) -> Batch | None:
    """The batch of a root; None if there is none."""
    if "epoch" not in item:
        return None
    return Batch(
        id=items.id_of(str(item[rows.KEY])),
        epoch=str(item["epoch"]),
        total=int(item["total"]) if "total" in item else None,
        then=str(item.get("then", "")),
        dead=str(item.get("dead", "")),
        dead_seen="dead_seen" in item,
        dead_told="dead_told" in item,
        fired="fired" in item,
        opened_at=rows.instant(int(item.get("opened_at", 0))),
        sealed_at=rows.instant(int(item["sealed_at"])) if "sealed_at" in item else None,
        late_at=rows.instant(int(item["late_at"])) if "late_at" in item else None,
        key=str(item.get("batch_key", "")),
        due=str(item.get(DUE, "")),
    )


def read(batch_id: str) -> Batch | None:
    """A batch, by a strongly consistent read; None if there is none. Raises AWS's errors."""
    return of_item(rows.read(items.root_of(batch_id)))


def enter(batch_id: str, *, then: str, dead: str, key: str) -> Batch:
    """Begin to fill a batch, in an epoch of its own. One that is sealed already is returned as it is.

    Raises AWS's errors.
    """
    root, epoch, now = items.root_of(batch_id), os.urandom(12).hex(), rows.now()
    late = now + items.LATE_AFTER // timedelta(microseconds=1)
    values: dict[str, object] = {
        ":epoch": epoch,
        ":then": then,
        ":dead": dead,
        ":now": now,
        ":alive": now // 1_000_000,
        ":late": late,
        ":due": shard(RUNNING, root),
        ":due_at": text_of(late),
        ":key": key,
    }
    write = Write(
        f"attribute_not_exists(#sealed) OR {rows.EXPIRES_AT} < :alive",
        values,
        [
            "#epoch = :epoch",
            "#then = :then",
            "#dead = :dead",
            "opened_at = :now",
            "#late = :late",
            "#due = :due",
            "#due_at = :due_at",
            "batch_key = :key",
        ],
        # Of an aborted epoch, or of a batch of the same key whose time is over.
        ["#total", "#sealed", "#fired", "dead_seen", "dead_told"],
        names={**_NAMES, "#then": "then", "#dead": "dead"},
    )
    came = rows.update(root, write, lives_until=items.long())
    found = of_item(came.found if isinstance(came, Refused) else came)
    if found is None:
        raise LookupError(f"the batch {batch_id!r} was sealed, and its item is gone: enter it again")
    return found


def seal(batch: Batch, total: int, late_after: timedelta) -> Batch | None:
    """Note that a batch has all its members. None if another run of its block has entered it since, in a new epoch.

    Raises AWS's errors.
    """
    root, now = items.root_of(batch.id), rows.now()
    late = now + late_after // timedelta(microseconds=1)
    due = rows.microseconds(datetime.now(UTC) + SEALED_AGAIN_AFTER)
    write = Write(
        "#epoch = :epoch AND attribute_not_exists(#fired) AND (attribute_not_exists(#sealed) OR #total = :total)",
        {
            ":epoch": batch.epoch,
            ":total": total,
            ":now": now,
            ":late": late,
            ":due": shard(RUNNING, root),
            ":due_at": text_of(due),
        },
        ["#total = :total", "#sealed = :now", "#late = :late", "#due = :due", "#due_at = :due_at"],
        names=_NAMES,
    )
    came = rows.update(root, write, lives_until=items.long())
    if not isinstance(came, Refused):
        return of_item(came)
    found = of_item(came.found)
    # An earlier try was carried out, its answer was lost, and the batch has fired since.
    return found if found is not None and found.epoch == batch.epoch and found.total == total else None


def see_dead(batch: OfBatch) -> Batch | None:
    """Note that a member is dead. Returns the batch; None if it isn't that of this epoch. Raises AWS's errors."""
    return _note(batch, "dead_seen")


def has_told(batch: OfBatch) -> None:
    """Note that its `dead` was sent. Raises AWS's errors."""
    _note(batch, "dead_told")


def _note(batch: OfBatch, what: str) -> Batch | None:
    write = Write(
        "#epoch = :epoch",
        {":epoch": batch.epoch, ":yes": 1},
        ["#what = :yes"],
        names={"#epoch": "epoch", "#what": what},
    )
    # A note changes nothing of how long the root is kept: it may have fired.
    came = rows.update(items.root_of(batch.id), write, lives_until=None)
    return of_item(came) if not isinstance(came, Refused) else None


def has_fired(batch: OfBatch) -> None:
    """Note that its `then` was sent, and take it out of the index. Raises AWS's errors."""
    write = Write(
        "#epoch = :epoch AND attribute_exists(#sealed)",
        {":epoch": batch.epoch, ":now": rows.now()},
        ["#fired = :now"],
        ["#due", "#due_at", "#late"],
        names={name: _NAMES[name] for name in ("#epoch", "#sealed", "#fired", "#due", "#due_at", "#late")},
    )
    rows.update(items.root_of(batch.id), write, lives_until=rows.microseconds(datetime.now(UTC) + items.KEPT_FOR))


def come_later(batch: Batch, at: datetime, *, is_late: bool) -> None:
    """Let the sweeper look at a batch again, in the partition of those that are late or not. Raises AWS's errors."""
    root = items.root_of(batch.id)
    write = Write(
        "#epoch = :epoch AND attribute_exists(#due)",
        {
            ":epoch": batch.epoch,
            ":due": shard(LATE if is_late else RUNNING, root),
            ":due_at": text_of(rows.microseconds(at)),
        },
        ["#due = :due", "#due_at = :due_at"],
        names={name: _NAMES[name] for name in ("#epoch", "#due", "#due_at")},
    )
    rows.update(root, write, lives_until=None)


def leave_index(batch: Batch) -> bool:
    """Take a batch out of the index: nobody waits for it, though it may fire yet. False if it was entered or sealed
    since it was read.

    Raises AWS's errors.
    """
    write = Write(
        f"#epoch = :epoch AND attribute_{'' if batch.is_sealed else 'not_'}exists(#sealed)",
        {":epoch": batch.epoch},
        [],
        ["#due", "#due_at", "#late"],
        names={name: _NAMES[name] for name in ("#epoch", "#sealed", "#due", "#due_at", "#late")},
    )
    return not isinstance(rows.update(items.root_of(batch.id), write, lives_until=None), Refused)


def leave_if_over(batch_id: str) -> None:
    """Take an item out of the index that is no batch, or one that has fired, or whose time is over.

    Somebody who may write under a queue's prefix can put any item there. Raises AWS's errors.
    """
    write = Write(
        "attribute_exists(#due) AND "
        f"(attribute_not_exists(#epoch) OR attribute_exists(#fired) OR {rows.EXPIRES_AT} < :alive)",
        {":alive": rows.now() // 1_000_000},
        [],
        ["#due", "#due_at"],
        names={name: _NAMES[name] for name in ("#epoch", "#fired", "#due", "#due_at")},
    )
    rows.update(items.root_of(batch_id), write, lives_until=None)


def put_off(batch_id: str, at: datetime) -> None:
    """Let the sweeper look again at what it can't read. Raises AWS's errors."""
    write = Write(
        "attribute_exists(#due)",
        {":due_at": text_of(rows.microseconds(at))},
        ["#due_at = :due_at"],
        names={name: _NAMES[name] for name in ("#due", "#due_at")},
    )
    rows.update(items.root_of(batch_id), write, lives_until=None)


def shard(kind: str, root: str) -> str:
    """The partition of the index in which a root stands."""
    return f"{kind}-{sum(root.encode()) % SHARDS}"


def shards(kind: str) -> list[str]:
    """The partitions of a kind."""
    return [f"{kind}-{number}" for number in range(SHARDS)]


def text_of(microseconds: int) -> str:
    """An instant as text that sorts by time."""
    return rows.instant(microseconds).isoformat(timespec="seconds")


def listed(partition: str, most: int, *, until: datetime | None = None) -> list[str]:
    """The ids of `most` batches of a partition, those first that are due first; only those due by `until`.

    The index is a second or so behind. Raises AWS's errors.
    """
    return next(pages(partition, most, until=until))


def pages(partition: str, size: int, *, until: datetime | None = None) -> Iterator[list[str]]:
    """All ids of a partition, in the same order, `size` items a page. There is one page at least, maybe an empty one.

    Raises AWS's errors.
    """
    request: dict[str, Any] = {
        "KeyConditionExpression": f"{DUE} = :due",
        "ExpressionAttributeValues": {":due": {"S": partition}},
        "Limit": size,
    }
    if until is not None:
        request["KeyConditionExpression"] += f" AND {DUE_AT} <= :until"
        request["ExpressionAttributeValues"][":until"] = {"S": text_of(rows.microseconds(until))}
    while True:
        answer = client("dynamodb").query(TableName=rows.table(), IndexName=names.flow_index(), **request)
        keys = [item[rows.KEY]["S"] for item in answer["Items"]]
        yield [items.id_of(key) for key in keys if key.startswith(rows.BATCH)]
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
