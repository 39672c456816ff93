"""The unpublished rows of the outbox. The sparse index finds them; they are read from the table, as the index lags."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from celeriac.aws import refusals
from celeriac.aws.client import client
from celeriac.enqueue.outbox_row import PARKED, SHARDS, WAITING, EventRow, OutboxRow, TaskRow, instant, shard
from celeriac.model import names, settings

# The most rows that BatchGetItem reads in one call.
PAGE = 100

STRANDED_AFTER = timedelta(minutes=1)
"""The relay needs about a second for a row. A row that is unpublished for this long is left to the sweeper."""

type Row = Mapping[str, Any]
"""A row of the outbox in DynamoDB's form."""


def lag(*, most_parked: int | None = None) -> tuple[datetime | None, int]:
    """When the oldest unpublished row occurred (None if no row waits), and how many rows are parked.

    most_parked: counts no further than this, in one call.
    """
    firsts = [_query(each, Limit=1)["Items"] for each in shards()]
    occurred = [time_of(first[0]["occurred_at"]["S"]) for first in firsts if first]
    if most_parked is not None:
        return min(occurred, default=None), _query(PARKED, Select="COUNT", Limit=most_parked)["Count"]
    return min(occurred, default=None), sum(page["Count"] for page in pages(PARKED, Select="COUNT"))


def time_of(text: str) -> datetime:
    """When a row occurred. An unreadable time counts as 1970, so that the sweeper finds the row and parks it."""
    try:
        return instant(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def shards() -> list[str]:
    """The partitions of the index, each of which holds whole aggregates."""
    return [f"shard-{number}" for number in range(SHARDS)]


def unpublished(partition: str, older_than: datetime, start: Any = None) -> Iterator[tuple[Sequence[Row], Any]]:
    """Pages of the rows of a shard that are older than `older_than`, in the order in which they occurred.

    Each page comes with the key behind it, at which a later call can start.
    """
    yield from _rows(partition, "occurred_at < :bound", older_than, start)


def before(rows: Sequence[EventRow | TaskRow]) -> Iterator[OutboxRow]:
    """The keys of waiting rows that occurred before these rows, in their aggregates. The index may lag behind."""
    aggregates, ids = {row.pk for row in rows}, {row.sk for row in rows}
    latest: dict[str, datetime] = {}
    for row in rows:
        latest[shard(row.pk)] = max(latest.get(shard(row.pk), row.occurred_at), row.occurred_at)
    for each, instant_ in latest.items():
        bound = {":bound": {"S": instant_.astimezone(UTC).isoformat(timespec="microseconds")}}
        for page in pages(each, "occurred_at < :bound", bound):
            for key in page["Items"]:
                pk, sk = key["pk"]["S"], key["sk"]["S"]
                if pk in aggregates and sk not in ids:
                    yield OutboxRow(pk, sk, "", time_of(key["occurred_at"]["S"]))


def ahead(partition: str, after: datetime) -> Iterator[tuple[Sequence[Row], Any]]:
    """Pages of the rows of a shard that claim to occur after `after`, an instant in the future."""
    yield from _rows(partition, "occurred_at > :bound", after, None)


def _rows(partition: str, condition: str, bound: datetime, start: Any) -> Iterator[tuple[Sequence[Row], Any]]:
    values = {":bound": {"S": bound.isoformat(timespec="microseconds")}}
    for page in pages(partition, condition, values, start=start, Limit=PAGE):
        rows = [row for row in _read(page["Items"]) if row.get(WAITING, {}).get("S") == partition]
        yield rows, page.get("LastEvaluatedKey")


def parked(*, after: datetime | None = None, most: int = PAGE) -> Iterator[Row]:
    """The parked rows, each with its `reason`, oldest first.

    after: only those that occurred then or later.
    most: so many are read at once, up to `PAGE`.
    """
    bound = {":bound": {"S": after.astimezone(UTC).isoformat(timespec="microseconds")}} if after is not None else None
    for page in pages(PARKED, "occurred_at >= :bound" if bound else "", bound, Limit=min(most, PAGE)):
        yield from (row for row in _read(page["Items"]) if row.get(WAITING, {}).get("S") == PARKED)


def pages(
    value: str, bound: str = "", values: dict[str, Any] | None = None, *, start: Any = None, **options: Any
) -> Iterator[Any]:
    """The answers of Query for a partition of the index: keys only, by the time at which the rows occurred."""
    while True:
        page = _query(value, bound, values, **options, **({"ExclusiveStartKey": start} if start else {}))
        yield page
        start = page.get("LastEvaluatedKey")
        if not start:
            return


def _query(value: str, bound: str = "", values: dict[str, Any] | None = None, **options: Any) -> Any:
    condition = f"{WAITING} = :value" + (f" AND {bound}" if bound else "")
    return client("dynamodb").query(
        TableName=names.outbox_table(settings.stage()),
        IndexName=names.outbox_index(),
        KeyConditionExpression=condition,
        ExpressionAttributeValues={":value": {"S": value}, **(values or {})},
        **options,
    )


def _read(found: Sequence[Row]) -> list[Row]:
    """The whole rows, strongly consistent, in the order in which the index has them."""
    table = names.outbox_table(settings.stage())
    keys = [{name: item[name] for name in ("pk", "sk")} for item in found]
    wanted: Any = {table: {"Keys": keys, "ConsistentRead": True}} if keys else {}
    rows: dict[str, Row] = {}
    for attempt in count(1):
        if not wanted:
            break
        if attempt > 1:
            refusals.wait(min(attempt, 5))
        answer = client("dynamodb").batch_get_item(RequestItems=wanted)
        rows |= {row["sk"]["S"]: row for row in answer["Responses"][table]}
        # One answer holds at most 16 MB: the rest is asked for again.
        wanted = answer.get("UnprocessedKeys")
    return [rows[key["sk"]["S"]] for key in keys if key["sk"]["S"] in rows]
