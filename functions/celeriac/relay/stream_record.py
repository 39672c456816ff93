"""A record of the outbox's stream, in the form in which Lambda hands it to the relay.

https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html shows one. Binary values are base64, numbers are texts. A
record of a deletion has no new image.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from celeriac.enqueue.outbox_row import EventRow, MalformedRowError, OutboxRow, TaskRow, read


class StreamRecord(Struct, frozen=True):
    """A new row of the outbox."""

    sequence: str
    """Names the record in the relay's answer."""
    row: EventRow | TaskRow | None
    age: timedelta
    """How long ago the row was written, to the second."""
    malformed: tuple[OutboxRow, str] | None = None
    """If the row can't be read: its keys, and why."""

    @property
    def id(self) -> str:
        """The row's id."""
        return self.row.sk if self.row is not None else self.malformed[0].sk if self.malformed is not None else ""


def new_rows(event: Mapping[str, Any]) -> list[StreamRecord]:
    """The records of new rows. What else is in the stream isn't for the relay: its own marks, and rows that expired."""
    return [
        _read(record["dynamodb"])
        for record in event.get("Records", [])
        if record.get("eventName", "INSERT") == "INSERT" and "NewImage" in record.get("dynamodb", {})
    ]


def _read(change: Mapping[str, Any]) -> StreamRecord:
    created = change.get("ApproximateCreationDateTime")
    now = datetime.now(UTC)
    age = now - datetime.fromtimestamp(created, UTC) if isinstance(created, int | float) else timedelta()
    try:
        return StreamRecord(change["SequenceNumber"], read(change["NewImage"]), age)
    except MalformedRowError as error:
        return StreamRecord(change["SequenceNumber"], None, age, (error.row, str(error)))
