"""Counts the tasks that wait in schedules. Scheduler itself has no such figure."""

from datetime import datetime

from aws_lambda_powertools.metrics import MetricUnit

from celeriac.aws import schedules
from celeriac.model.failure import error_place, error_type
from celeriac.observe import metrics
from celeriac.observe.log import logger
from celeriac.observe.metric_names import Metric

EVERY_MINUTES = 5
MOST_COUNTED = 10 * schedules.PAGE
"""The most tasks that are counted, a call for each hundred."""


def measure(begun: datetime, until: datetime) -> dict[str, int]:
    """Log how many tasks wait, in the sweeps that begin in every fifth minute. No page is read after `until`.

    If none waits, nothing is logged: CloudWatch charges a metric for each hour in which it is written. If the schedules
    can't be listed, nothing is logged either.
    """
    if begun.minute % EVERY_MINUTES:
        return {}
    try:
        number = schedules.count(most=MOST_COUNTED, until=until).number
        if number:
            measured = metrics.of("tasks")
            measured.add_metric(Metric.DELAYED, MetricUnit.Count, number)
            measured.flush_metrics()
    except Exception as error:  # noqa: BLE001 - a figure must not fail a sweep
        logger.error("delayed tasks not counted", extra={"error": error_type(error), "where": error_place(error)})
        return {}
    return {"delayed": number}
