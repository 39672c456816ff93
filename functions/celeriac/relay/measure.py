"""What the sweeper measures at each run, for the stage's alarms."""

from datetime import UTC, datetime, timedelta

from aws_lambda_powertools.metrics import MetricUnit

from celeriac.model.failure import error_place, error_type
from celeriac.observe import metrics
from celeriac.observe.log import logger
from celeriac.observe.metric_names import Metric
from celeriac.relay import removed, unpublished

MOST_COUNTED = 1_000
"""The most parked rows that are counted each time. To an alarm a thousand is as much as a million."""


def measure_outbox() -> dict[str, int]:
    """Log the age of the oldest unpublished row, and the number of parked rows unless there are none.

    CloudWatch bills a metric for each hour in which it is written. The age is always written, because its absence means
    that the sweeper doesn't run. If it can't be read, nothing is logged and the sweep goes on.
    """
    try:
        oldest, parked = unpublished.lag(most_parked=MOST_COUNTED)
    except Exception as error:  # noqa: BLE001 - no error here may stop the publishing
        logger.error("outbox not measured", extra={"error": error_type(error), "where": error_place(error)})
        return {}
    age = max(datetime.now(UTC) - oldest, timedelta()) if oldest is not None else timedelta()
    measured = metrics.of("outbox")
    measured.add_metric(Metric.UNPUBLISHED_AGE, MetricUnit.Seconds, age.total_seconds())
    if parked:
        measured.add_metric(Metric.PARKED_EVENTS, MetricUnit.Count, parked)
    measured.flush_metrics()
    return {"parked": parked, "age_seconds": int(age.total_seconds())}


def measure_removed_queues() -> None:
    """Log how many messages lie in queues that no declaration knows, unless there are none."""
    try:
        messages = removed.messages()
    except Exception as error:  # noqa: BLE001 - the next sweep measures again
        logger.error("removed queues not measured", extra={"error": error_type(error), "where": error_place(error)})
        return
    if messages:
        measured = metrics.of("outbox")
        measured.add_metric(Metric.REMOVED_QUEUES, MetricUnit.Count, messages)
        measured.flush_metrics()
