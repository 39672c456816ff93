"""The sweeper: every minute, events that the relay has left behind, published the same way."""

from datetime import UTC, datetime, timedelta
from typing import Protocol

from celeriac import names, settings, waiting
from celeriac.event import read_all
from celeriac.mark import mark
from celeriac.publish import publish

STRANDED_AFTER = timedelta(minutes=1)
"""The relay needs a second; what is unpublished for longer is nobody's."""
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
    published = sum(_sweep(shard, until) for shard in waiting.shards())
    oldest, parked = waiting.lag()
    age = datetime.now(UTC) - oldest if oldest is not None else timedelta()
    _measure(age, parked)
    return {"published": published, "parked": parked, "age_seconds": int(age.total_seconds())}


def _sweep(shard: str, until: datetime) -> int:
    """Publish what is stranded in one shard; how many events that were."""
    published = 0
    for rows in waiting.unpublished(shard, before=datetime.now(UTC) - STRANDED_AFTER):
        if datetime.now(UTC) > until:
            break
        if not rows:
            continue
        stranded, malformed = read_all(rows)
        swept = publish(stranded)
        mark(swept.done, [*malformed, *swept.parked])
        published += len(swept.done)
        if swept.failed:
            break  # what is behind it would overtake it; the next minute tries again
    return published


def _measure(age: timedelta, parked: int) -> None:
    """Metrics by way of the log: CloudWatch reads them there, no call is made."""
    from aws_lambda_powertools import Metrics  # noqa: PLC0415 - only the sweeper needs them
    from aws_lambda_powertools.metrics import MetricUnit  # noqa: PLC0415

    metrics = Metrics(namespace=names.METRICS, service="outbox")
    metrics.set_default_dimensions(stage=settings.stage())
    metrics.add_metric("UnpublishedAge", MetricUnit.Seconds, age.total_seconds())
    metrics.add_metric("ParkedEvents", MetricUnit.Count, parked)
    metrics.flush_metrics()
