"""An event: a row of the outbox, as a transaction writes it and the relay and the sweeper read it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from celeriac.aws.items import item_of, plain
from celeriac.model.errors import CeleriacError
from celeriac.model.message import new_id
from celeriac.observe.trace import checked, current

WAITING = "waiting"
"""The attribute, and partition key of the sparse index, that a row has until it is published."""
SHARDS = 8
"""Partitions of the index: DynamoDB writes 1,000 rows a second to each.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-sharding.html
"""
PARKED = "parked"
"""What `waiting` says of a row that can never be published as things are."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row of the outbox."""

    pk: str
    """The aggregate, whose events are published in order; the row's own id where it has none."""
    sk: str
    """The event's id, a UUIDv7."""
    type: str
    occurred_at: datetime
    data: Mapping[str, Any]
    message: str | None = None
    """The whole message, where the row is a task that a transaction enqueued."""
    queue: str | None = None
    """That task's queue."""
    due_at: datetime | None = None
    group: str | None = None
    trace: str | None = None
    """The header of the X-Ray trace in which it was emitted."""
    bytes: int = 0
    """The size of what it carries."""

    @property
    def delay(self) -> timedelta:
        """How long it is yet to wait."""
        now = datetime.now(UTC)
        return max((self.due_at or now) - now, timedelta())


def shard(pk: str) -> str:
    """The index partition of an aggregate: one for all its events, so that they are found in order."""
    return f"shard-{crc32(pk.encode()) % SHARDS}"


def new_row(event: str, aggregate: str | None, **content: str) -> dict[str, Any]:
    """A row to write. All rows of an aggregate lie in one partition, hence in one shard of the stream, in order."""
    row_id = new_id()
    pk = aggregate if aggregate is not None else row_id
    occurred_at = datetime.now(UTC).isoformat(timespec="microseconds")
    if (trace := current()) is not None:
        content["trace"] = trace
    made: dict[str, Any] = item_of(
        {"pk": pk, "sk": row_id, "type": event, "occurred_at": occurred_at, WAITING: shard(pk), **content}
    )
    return made


class MalformedEventError(CeleriacError, ValueError):
    """A row of the outbox that no transaction of ours has written; `event` is what can be said of it."""

    def __init__(self, event: OutboxRow, why: str) -> None:
        super().__init__(f"not an event: {why}")
        self.event = event


def read(image: Mapping[str, Any]) -> OutboxRow:
    """The event in a row, or in a stream record's new image. Raises MalformedEventError."""
    row = plain(image) or {}
    try:
        data = row.get("data", "{}")
        texts = ("type", "occurred_at", "data", "message", "queue", "due_at", "group", "trace")
        if wrong := [name for name in texts if name in row and not isinstance(row[name], str)]:
            raise TypeError(f"{wrong[0]} is no text")  # noqa: TRY301 - as json and datetime say it
        return OutboxRow(
            pk=row["pk"],
            sk=row["sk"],
            type=row["type"],
            occurred_at=datetime.fromisoformat(row["occurred_at"]),
            data=_object(data),
            message=row.get("message"),
            queue=row.get("queue"),
            due_at=datetime.fromisoformat(row["due_at"]) if "due_at" in row else None,
            group=row.get("group"),
            trace=checked(row.get("trace")),
            bytes=len(data) + len(row.get("message", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        nothing = OutboxRow(str(row["pk"]), str(row["sk"]), "malformed", datetime.now(UTC), {})
        raise MalformedEventError(nothing, f"{type(error).__name__} while reading its attributes") from error


def read_all(images: Iterable[Mapping[str, Any]]) -> tuple[list[OutboxRow], list[tuple[OutboxRow, str]]]:
    """The events in rows, in their order; and of those that are none, why not."""
    events: list[OutboxRow] = []
    malformed: list[tuple[OutboxRow, str]] = []
    for image in images:
        try:
            events.append(read(image))
        except MalformedEventError as error:
            malformed.append((error.event, str(error)))
    return events, malformed


def _object(text: str) -> dict[str, Any]:
    data = json.loads(text)
    if not isinstance(data, dict):
        raise TypeError("its data is no object")
    return data
