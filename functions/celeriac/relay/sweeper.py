"""The sweeper: every minute it publishes the events that the relay has left behind, in the same way."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

from celeriac.enqueue.outbox_row import read_all
from celeriac.model.failure import error_place, error_type
from celeriac.observe import metrics
from celeriac.observe.log import logger
from celeriac.observe.metric_names import Metric
from celeriac.relay import unpublished
from celeriac.relay.mark import mark
from celeriac.relay.publish import publish

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

STRANDED_AFTER = timedelta(minutes=1)
"""The relay needs about a second for an event. An event that is unpublished for this long is left to the sweeper."""
# Time kept at the end to mark the published events.
MARGIN = timedelta(seconds=10)


def handler(event: object, context: "LambdaContext") -> dict[str, int]:  # noqa: ARG001 - Lambda's signature
    """Measure the unpublished events, then publish those left behind, in order within each aggregate.

    The relay may run at the same time: both send messages with the same ids.
    """
    until = datetime.now(UTC) + timedelta(milliseconds=context.get_remaining_time_in_millis()) - MARGIN
    measured = _measured()  # first, because the metrics must show a sweep that hangs or dies
    published = 0
    for shard in unpublished.shards():
        try:
            published += _sweep(shard, until)
        except Exception as error:  # noqa: BLE001 - an error in one shard must not stop the others
            logger.error("shard not swept", extra={"error": error_type(error), "where": error_place(error)})
    return {"published": published, **measured}


def _sweep(shard: str, until: datetime) -> int:
    """Publish the events left behind in one shard. Returns how many were published."""
    published = 0
    held: set[str] = set()
    for page in unpublished.unpublished(shard, before=datetime.now(UTC) - STRANDED_AFTER):
        if datetime.now(UTC) > until:
            break
        rows, malformed = read_all(page)
        # After a failed event its aggregate waits, and the others go on. The next sweep tries again.
        stranded = [row for row in rows if row.pk not in held]
        if not (stranded or malformed):
            continue
        swept = publish(stranded)
        mark(swept.done, [*malformed, *swept.parked])
        held |= {row.pk for row in swept.failed}
        published += len(swept.done)
    return published


def _measured() -> dict[str, int]:
    """Log two metrics: the age of the oldest unpublished event, and the number of parked events.

    If they can't be read, nothing is logged and the sweep goes on. There is an alarm for metrics that are missing long.
    """
    try:
        oldest, parked = unpublished.lag()
    except Exception as error:  # noqa: BLE001 - no error here may stop the publishing
        logger.error("outbox not measured", extra={"error": error_type(error), "where": error_place(error)})
        return {}
    age = datetime.now(UTC) - oldest if oldest is not None else timedelta()
    measured = metrics.of("outbox")
    measured.add_metric(Metric.UNPUBLISHED_AGE, MetricUnit.Seconds, age.total_seconds())
    measured.add_metric(Metric.PARKED_EVENTS, MetricUnit.Count, parked)
    measured.flush_metrics()
    return {"parked": parked, "age_seconds": int(age.total_seconds())}
