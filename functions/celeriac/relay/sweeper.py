"""The sweeper: every minute, events that the relay has left behind, published the same way."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

from celeriac.enqueue.outbox_row import read_all
from celeriac.model.failure import error_place, error_type
from celeriac.observe import metrics
from celeriac.observe.log import logger
from celeriac.relay import unpublished
from celeriac.relay.mark import mark
from celeriac.relay.publish import publish

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

STRANDED_AFTER = timedelta(minutes=1)
"""The relay needs a second; what is unpublished for longer is nobody's."""
# Left at the end to mark what was published.
MARGIN = timedelta(seconds=10)


def handle(event: object, context: "LambdaContext") -> dict[str, int]:  # noqa: ARG001 - Lambda's signature
    """Publish what is stranded, in order within each aggregate, and measure what is left.

    It is safe beside a running relay: both send messages of the same ids.
    """
    until = datetime.now(UTC) + timedelta(milliseconds=context.get_remaining_time_in_millis()) - MARGIN
    measured = _measured()  # first: a sweep that hangs, or dies, is what the measure is for
    published = 0
    for shard in unpublished.shards():
        try:
            published += _sweep(shard, until)
        except Exception as error:  # noqa: BLE001 - whatever one shard meets says nothing of the others
            logger.error("shard not swept", extra={"error": error_type(error), "where": error_place(error)})
    return {"published": published, **measured}


def _sweep(shard: str, until: datetime) -> int:
    """Publish what is stranded in one shard; how many events that were."""
    published = 0
    held: set[str] = set()
    for rows in unpublished.unpublished(shard, before=datetime.now(UTC) - STRANDED_AFTER):
        if datetime.now(UTC) > until:
            break
        events, malformed = read_all(rows)
        # An aggregate waits behind what of it wasn't taken, the others go on; the next minute tries again.
        stranded = [event for event in events if event.pk not in held]
        if not (stranded or malformed):
            continue
        swept = publish(stranded)
        mark(swept.done, [*malformed, *swept.parked])
        held |= {event.pk for event in swept.failed}
        published += len(swept.done)
    return published


def _measured() -> dict[str, int]:
    """Age and number of what is left, as metrics by way of the log; nothing where they can't be read just now.

    A sweep doesn't wait for them, and metrics that stay away for long are an alarm of their own.
    """
    try:
        oldest, parked = unpublished.lag()
    except Exception as error:  # noqa: BLE001 - whatever it is, it stops no event
        logger.error("outbox not measured", extra={"error": error_type(error), "where": error_place(error)})
        return {}
    age = datetime.now(UTC) - oldest if oldest is not None else timedelta()
    measured = metrics.of("outbox")
    measured.add_metric("UnpublishedAge", MetricUnit.Seconds, age.total_seconds())
    measured.add_metric("ParkedEvents", MetricUnit.Count, parked)
    measured.flush_metrics()
    return {"parked": parked, "age_seconds": int(age.total_seconds())}
