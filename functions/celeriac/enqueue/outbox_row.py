"""A row of the outbox: an event, or a task to enqueue. A transaction writes it; the relay and the sweeper read it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from msgspec import Struct, field

from celeriac.aws.items import item_of
from celeriac.enqueue import subscribers
from celeriac.enqueue.subscribers import Subscriber
from celeriac.model import declared, headers
from celeriac.model.errors import CeleriacError
from celeriac.model.failure import error_type
from celeriac.model.message import new_id
from celeriac.observe.trace import checked, current

WAITING = "waiting"
"""The attribute that a row has until it is published. It is the partition key of the sparse index."""
SHARDS = 8
"""The number of partitions of the index. DynamoDB writes 1,000 rows a second to each partition.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-sharding.html
"""
PARKED = "parked"
"""The value of `waiting` in a parked row: the row can't be published unless something changes."""
BUS = "the bus"
"""Stands for the stage's bus among the destinations of a row. The others are names of tasks, which have no space."""
UNCLAIMED = "unclaimed:"
"""With the event's type, the value of `waiting` in an event that nobody subscribes to."""
TASKS = "celeriac#task#"
"""The start of the partition keys of tasks. A queue's name follows, and no event has such a key."""
ORDERED = "ordered"
"""The attribute of rows whose `occurred_at` increases in the order of the commits, see `celeriac.enqueue.order`."""


class OutboxRow(Struct, frozen=True):
    """A row of the outbox: an EventRow or a TaskRow."""

    pk: str
    """The aggregate: its rows are published in order. If the row has no aggregate, this is the row's id.

    That of a task begins with `celeriac#task#<queue>#`, so that a role can be limited to events, or to the tasks of
    one queue."""
    sk: str
    """The row's id, a UUIDv7; of an event it is the event's id."""
    type: str
    """The event's type, or `task:<name>`."""
    occurred_at: datetime
    due_at: datetime | None = None
    group: str | None = None
    trace: str | None = None
    """The header of the X-Ray trace in which the row was written."""
    bytes: int = 0
    """The size of the event's data, or of the task's message, in UTF-8."""
    ordered: bool = False
    """Whether `occurred_at` tells the order of the commits in its aggregate."""
    left_at: datetime | None = None
    """When the row was first left to the sweeper; None if it never was."""
    sent_to: frozenset[str] = frozenset()
    """Where the row has arrived, if it hasn't arrived everywhere: names of tasks, or BUS."""
    published_at: datetime | None = None
    """When it had first arrived everywhere. None if it hasn't, so that only `sent_to` has it."""

    @property
    def is_alone(self) -> bool:
        """Whether the row has no aggregate, and so no order."""
        return self.pk.rpartition("#")[2] == self.sk

    @property
    def delay(self) -> timedelta:
        """How long the row's message must still wait."""
        now = datetime.now(UTC)
        return max((self.due_at or now) - now, timedelta())


class EventRow(OutboxRow, frozen=True):
    """An event, which every subscriber gets."""

    data: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] | None = None
    """The headers that the sender's hooks gave the event."""
    subscribers: frozenset[str] = frozenset()
    """The subscribers that the sender knew, and BUS if it knew one. It may be of a newer release than the reader."""


class TaskRow(OutboxRow, frozen=True):
    """A task that a transaction enqueued."""

    message: str = ""
    """The whole message."""
    queue: str = ""
    """The logical name of its queue."""


def task_start(queue: str) -> str:
    """The start of the partition keys of a queue's tasks."""
    return f"{TASKS}{queue}#"


def shard(pk: str) -> str:
    """The index partition of an aggregate. All its events are in one partition, so that a query finds them in order."""
    return f"shard-{crc32(pk.encode()) % SHARDS}"


def new_row(row_type: str, aggregate: str | None, **content: str) -> dict[str, Any]:
    """A row to write. All rows of an aggregate are in one partition. So one shard of the stream has them, in order."""
    row_id = new_id()
    pk = (task_start(content["queue"]) if "queue" in content else "") + (aggregate if aggregate is not None else row_id)
    occurred_at = datetime.now(UTC).isoformat(timespec="microseconds")
    if (trace := current()) is not None:
        content["trace"] = trace
    is_event = "message" not in content
    known = subscribers.look_up(row_type) if is_event else ()
    # An older release leaves a row that names what it doesn't know, so the bus is named like a subscriber.
    to = {each.task for each in known} | ({BUS} if is_event and declared.outbox().bus else set())
    extra: dict[str, Any] = {"subscribers": to} if to else {}
    # The rows of a task have an aggregate only if its queue is FIFO.
    if aggregate is not None and (not is_event or _may_be_in_order(known)):
        extra[ORDERED] = True
    made: dict[str, Any] = item_of(
        {"pk": pk, "sk": row_id, "type": row_type, "occurred_at": occurred_at, WAITING: shard(pk), **content, **extra}
    )
    return made


def _may_be_in_order(known: Sequence[Subscriber]) -> bool:
    """Whether a FIFO queue may get the event. A process that knows no subscriber hasn't loaded the tasks."""
    if known:
        return any(each.fifo for each in known)
    return any(queue.fifo for queue in declared.queues().values())


class MalformedRowError(CeleriacError, ValueError):
    """A row of the outbox that no Celeriac transaction can have written.

    `row` has the keys of that row and no content.
    """

    def __init__(self, row: OutboxRow, why: str) -> None:
        super().__init__(f"not a row of an event or a task: {why}")
        self.row = row


def read(image: Mapping[str, Any]) -> EventRow | TaskRow:
    """The row in an item, or in a stream record's new image, whose binary values are base64.

    Attributes that Celeriac doesn't write aren't looked at. Raises MalformedRowError, and nothing else, for any item
    with the table's keys.
    """
    try:
        return _read(image)
    except Exception as error:
        nothing = OutboxRow(image["pk"]["S"], image["sk"]["S"], "malformed", datetime.now(UTC))
        raise MalformedRowError(nothing, f"{error_type(error)} while reading its attributes") from error


def read_all(images: Iterable[Mapping[str, Any]]) -> tuple[list[EventRow | TaskRow], list[tuple[OutboxRow, str]]]:
    """The rows in items, in their order; and the malformed ones, each with the reason."""
    rows: list[EventRow | TaskRow] = []
    malformed: list[tuple[OutboxRow, str]] = []
    for image in images:
        try:
            rows.append(read(image))
        except MalformedRowError as error:
            malformed.append((error.row, str(error)))
    return rows, malformed


def instant(text: str) -> datetime:
    """The instant in a text of ISO 8601; without a zone it is UTC. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _read(image: Mapping[str, Any]) -> EventRow | TaskRow:
    data, message = _text(image, "data") or "{}", _text(image, "message")
    due_at, left_at = _text(image, "due_at"), _text(image, "left_at")
    common: Any = {
        "pk": image["pk"]["S"],
        "sk": image["sk"]["S"],
        "type": _needed(image, "type"),
        "occurred_at": instant(_needed(image, "occurred_at")),
        "due_at": instant(due_at) if due_at is not None else None,
        "group": _text(image, "group"),
        "trace": checked(_text(image, "trace")),
        "bytes": len((data + (message or "")).encode(errors="surrogatepass")),
        "ordered": image.get(ORDERED) == {"BOOL": True},
        "left_at": instant(left_at) if left_at is not None else None,
        "sent_to": _texts(image, "sent_to"),
    }
    common["published_at"] = _published_at(image, common["occurred_at"])
    content = _object(data)
    if message is not None:
        queue = _needed(image, "queue")
        if not common["pk"].startswith(task_start(queue)):
            # Whoever may only append events, or tasks of another queue, can't write such a key.
            raise ValueError("its partition key isn't one of its queue")
        return TaskRow(**common, message=message, queue=queue)
    if common["pk"].startswith(TASKS):
        raise ValueError("an event has the partition key of a task")
    found = headers.read(image.get("headers", {}).get("S") or "") or None
    return EventRow(**common, data=content, headers=found, subscribers=_texts(image, "subscribers"))


def _published_at(image: Mapping[str, Any], occurred_at: datetime) -> datetime | None:
    waiting = _text(image, WAITING) or ""
    if waiting.startswith(UNCLAIMED):
        return None  # it counts as published, and arrived nowhere
    published_at = _text(image, "published_at")
    if published_at is None and waiting == PARKED and "parked_at" not in image:
        # An older release parked it, and forgot where it had arrived: perhaps everywhere.
        return occurred_at
    return instant(published_at) if published_at is not None else None


def _needed(image: Mapping[str, Any], name: str) -> str:
    if (found := _text(image, name)) is None:
        raise KeyError(name)
    return found


def _text(image: Mapping[str, Any], name: str) -> str | None:
    if name not in image:
        return None
    found = image[name].get("S")
    if not isinstance(found, str):
        raise TypeError(f"{name} is no text")
    return found


def _texts(image: Mapping[str, Any], name: str) -> frozenset[str]:
    found = image.get(name, {}).get("SS", [])
    if not all(isinstance(text, str) for text in found):
        raise TypeError(f"{name} is no set of texts")
    return frozenset(found)


def _object(text: str) -> dict[str, Any]:
    data = json.loads(text)
    if not isinstance(data, dict):
        raise TypeError("its data is no object")
    return data
