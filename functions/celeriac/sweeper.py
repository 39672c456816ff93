"""The sweeper: every minute, events that the relay has left behind, published the same way."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from celeriac import names, settings
from celeriac.aws import client
from celeriac.event import PARKED, SHARDS, WAITING, read_all
from celeriac.mark import mark
from celeriac.publish import publish

STRANDED_AFTER = timedelta(minutes=1)
"""The relay needs a second; what is unpublished for longer is nobody's."""
# What BatchGetItem reads in one call.
PAGE = 100
# Left at the end to mark what was published.
MARGIN = timedelta(seconds=10)


class LambdaContext(Protocol):
    """What the sweeper uses of Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda stops the worker."""


def handle(event: object, context: LambdaContext) -> dict[str, int]:  # noqa: ARG001 - Lambda's signature
    """Publish what is stranded, in order within each aggregate, and measure what is left.

    It is safe beside a running relay: both send messages of the same ids.
    """
    until = datetime.now(UTC) + timedelta(milliseconds=context.get_remaining_time_in_millis()) - MARGIN
    published = 0
    for shard in range(SHARDS):
        for rows in _stranded(f"shard-{shard}"):
            if datetime.now(UTC) > until:
                break
            stranded, malformed = read_all(rows)
            swept = publish(stranded)
            mark(swept.done, [*malformed, *swept.parked])
            published += len(swept.done)
            if swept.failed:
                break  # what is behind it would overtake it; the next minute tries again
    oldest, parked = lag()
    age = datetime.now(UTC) - oldest if oldest is not None else timedelta()
    _measure(age, parked)
    return {"published": published, "parked": parked, "age_seconds": int(age.total_seconds())}


def lag() -> tuple[datetime | None, int]:
    """When the oldest unpublished event occurred, None where none waits, and how many are parked."""
    firsts = [_query(f"shard-{shard}", Limit=1)["Items"] for shard in range(SHARDS)]
    occurred = [datetime.fromisoformat(first[0]["occurred_at"]["S"]) for first in firsts if first]
    return min(occurred, default=None), _query(PARKED, Select="COUNT")["Count"]


def _stranded(shard: str) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Pages of rows, in the order in which they occurred, read from the table itself: the index lags behind it."""
    before = (datetime.now(UTC) - STRANDED_AFTER).isoformat(timespec="microseconds")
    start: dict[str, Any] = {}
    while True:
        page = _query(shard, before=before, Limit=PAGE, **start)
        if page["Items"]:
            yield _read([{name: item[name] for name in ("pk", "sk")} for item in page["Items"]])
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _query(value: str, *, before: str | None = None, **options: Any) -> Any:
    bound = {":before": {"S": before}} if before is not None else {}
    query: dict[str, Any] = {
        "TableName": names.outbox_table(settings.stage()),
        "IndexName": names.outbox_index(),
        "KeyConditionExpression": f"{WAITING} = :value" + (" AND occurred_at < :before" if bound else ""),
        "ExpressionAttributeValues": {":value": {"S": value}, **bound},
    }
    return client("dynamodb").query(**query | options)


def _read(keys: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of `keys` that are still unpublished, in the order of `keys`."""
    table = names.outbox_table(settings.stage())
    wanted: Any = {table: {"Keys": keys, "ConsistentRead": True}}
    rows: dict[str, Any] = {}
    while wanted:
        answer = client("dynamodb").batch_get_item(RequestItems=wanted)
        rows |= {row["sk"]["S"]: row for row in answer["Responses"][table]}
        # More than 16 MB come in several answers.
        wanted = answer.get("UnprocessedKeys")
    found = [rows[key["sk"]["S"]] for key in keys if key["sk"]["S"] in rows]
    return [row for row in found if row.get(WAITING, {}).get("S", PARKED) != PARKED]


def _measure(age: timedelta, parked: int) -> None:
    """Metrics by way of the log: CloudWatch reads them there, no call is made."""
    from aws_lambda_powertools import Metrics  # noqa: PLC0415 - the relay and the console need them not
    from aws_lambda_powertools.metrics import MetricUnit  # noqa: PLC0415

    metrics = Metrics(namespace=names.METRICS, service="outbox")
    metrics.set_default_dimensions(stage=settings.stage())
    metrics.add_metric("UnpublishedAge", MetricUnit.Seconds, age.total_seconds())
    metrics.add_metric("ParkedEvents", MetricUnit.Count, parked)
    metrics.flush_metrics()
