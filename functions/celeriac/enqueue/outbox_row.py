"""A row of the outbox: an event, or a task to enqueue. A transaction writes it; the relay and the sweeper read it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from celeriac.aws.items import item_of, plain
from celeriac.model.errors import CeleriacError
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


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row of the outbox: an EventRow or a TaskRow."""

    pk: str
    """The aggregate: its rows are published in order. If the row has no aggregate, this is the row's id."""
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

    @property
    def delay(self) -> timedelta:
        """How long the row's message must still wait."""
        now = datetime.now(UTC)
        return max((self.due_at or now) - now, timedelta())


@dataclass(frozen=True, slots=True)
class EventRow(OutboxRow):
    """An event, which every subscriber gets."""

    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskRow(OutboxRow):
    """A task that a transaction enqueued."""

    message: str = ""
    """The whole message."""
    queue: str | None = None
    """The logical name of its queue."""


def shard(pk: str) -> str:
    """The index partition of an aggregate. All its events are in one partition, so that a query finds them in order."""
    return f"shard-{crc32(pk.encode()) % SHARDS}"


def new_row(event: str, aggregate: str | None, **content: str) -> dict[str, Any]:
    """A row to write. All rows of an aggregate are in one partition. So one shard of the stream has them, in order."""
    row_id = new_id()
    pk = aggregate if aggregate is not None else row_id
    occurred_at = datetime.now(UTC).isoformat(timespec="microseconds")
    if (trace := current()) is not None:
        content["trace"] = trace
    made: dict[str, Any] = item_of(
        {"pk": pk, "sk": row_id, "type": event, "occurred_at": occurred_at, WAITING: shard(pk), **content}
    )
    return made


class MalformedRowError(CeleriacError, ValueError):
    """A row of the outbox that no Celeriac transaction can have written.

    `row` has the keys of that row and no content.
    """

    def __init__(self, row: OutboxRow, why: str) -> None:
        super().__init__(f"not a row of an event or a task: {why}")
        self.row = row


def read(image: Mapping[str, Any]) -> EventRow | TaskRow:
    """The row in an item, or in a stream record's new image. Raises MalformedRowError."""
    row = plain(image) or {}
    try:
        data = row.get("data", "{}")
        texts = ("type", "occurred_at", "data", "message", "queue", "due_at", "group", "trace")
        if wrong := [name for name in texts if name in row and not isinstance(row[name], str)]:
            raise TypeError(f"{wrong[0]} is no text")  # noqa: TRY301 - json and datetime raise here too
        common: Any = {
            "pk": row["pk"],
            "sk": row["sk"],
            "type": row["type"],
            "occurred_at": datetime.fromisoformat(row["occurred_at"]),
            "due_at": datetime.fromisoformat(row["due_at"]) if "due_at" in row else None,
            "group": row.get("group"),
            "trace": checked(row.get("trace")),
            "bytes": len((data + row.get("message", "")).encode(errors="surrogatepass")),
        }
        content = _object(data)
        if "message" in row:
            return TaskRow(**common, message=row["message"], queue=row.get("queue"))
        return EventRow(**common, data=content)
    except (KeyError, TypeError, ValueError) as error:
        nothing = OutboxRow(str(row["pk"]), str(row["sk"]), "malformed", datetime.now(UTC))
        raise MalformedRowError(nothing, f"{type(error).__name__} while reading its attributes") from error


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


def _object(text: str) -> dict[str, Any]:
    data = json.loads(text)
    if not isinstance(data, dict):
        raise TypeError("its data is no object")
    return data
