"""Events that nobody subscribes to.

They count as published, and expire. But the release that subscribes to them may be on its way. So for the time that is
a queue's `patience`, its sweeper finds them by their type, and publishes them after all.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.enqueue.outbox_row import UNCLAIMED, WAITING, OutboxRow, shard
from celeriac.model import names, settings
from celeriac.model.failure import error_place, error_type
from celeriac.observe import metrics
from celeriac.observe.log import logger
from celeriac.observe.metric_names import Metric
from celeriac.relay import held, memory, unpublished

ROLLOUT = timedelta(minutes=15)
"""How long a worker looks for unclaimed events. So long an old relay may still run, beside the new sweeper."""
WILD = frozenset("*?[")


def count_unclaimed(events: int) -> None:
    """Write the metric of events that nobody subscribes to. A failure is logged and does no harm."""
    if not events:
        return
    try:
        measured = metrics.of("outbox")
        measured.add_metric(Metric.UNCLAIMED, MetricUnit.Count, events)
        measured.flush_metrics()
    except Exception as error:  # noqa: BLE001 - a metric must not fail a batch
        logger.error("not measured", extra={"error": error_type(error), "where": error_place(error)})


def types() -> dict[str, timedelta]:
    """The types that this release subscribes to, and how far back each is claimed. A pattern claims nothing."""
    found: dict[str, timedelta] = {}
    for task in registry.tasks.values():
        if task.on is not None and not WILD & set(task.on):
            found[task.on] = max(found.get(task.on, timedelta()), task.queue.patience)
    return found


def claim(until: datetime) -> int:
    """Let unclaimed events of this release's types wait for the sweep again. Returns how many.

    The worker of a new release is a new worker. So a worker looks in its first minutes only.
    """
    claimed = 0
    for event, patience in sorted(types().items()):
        now = datetime.now(UTC)
        if now - memory.worker.looked_for.setdefault(event, now) > ROLLOUT:
            continue
        bound = {":after": {"S": (now - patience).isoformat(timespec="microseconds")}}
        for page in unpublished.pages(UNCLAIMED + event, "occurred_at > :after", bound, Limit=held.MOST_KEYS):
            if not page["Items"]:
                continue
            _claim(event, page["Items"])
            claimed += len(page["Items"])
            if datetime.now(UTC) > until:
                return claimed
    return claimed


def _claim(event: str, items: Any) -> None:
    rows = [
        OutboxRow(item["pk"]["S"], item["sk"]["S"], event, unpublished.time_of(item["occurred_at"]["S"]))
        for item in items
    ]
    # Later events of the aggregate come by the stream, and must not overtake.
    held.hold([row for row in rows if not row.is_alone], {})
    for row in rows:
        _wait_again(row)


def _wait_again(row: OutboxRow) -> None:
    dynamodb = client("dynamodb")
    try:
        dynamodb.update_item(
            TableName=names.outbox_table(settings.stage()),
            Key={"pk": {"S": row.pk}, "sk": {"S": row.sk}},
            UpdateExpression=f"SET {WAITING} = :shard REMOVE published_at, expires_at",
            ConditionExpression=f"{WAITING} = :unclaimed",
            ExpressionAttributeValues={":shard": {"S": shard(row.pk)}, ":unclaimed": {"S": UNCLAIMED + row.type}},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return  # it is claimed already, and the index doesn't show it yet
