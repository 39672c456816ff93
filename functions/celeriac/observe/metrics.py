"""Metrics by queue and by task, with Powertools. CloudWatch reads them from the log, without an API call.

Their dimensions are the service, the stage, the queue, and the task if the release knows it. No other text of a message
becomes a dimension.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from celeriac.model import names, settings
from celeriac.model.failure import error_place, error_type
from celeriac.observe.log import logger
from celeriac.observe.metric_names import Metric

UNKNOWN = "unknown"
"""The task's name for a message that can't be read, or whose task isn't registered."""
# The highest level of Lambda's filter, so that no setting of it drops a metric. A line without a level, or without a
# time as RFC 3339 writes it, is INFO to the filter:
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
HIGHEST_LEVEL = "FATAL"
type Service = Literal["tasks", "outbox"]


def of(service: Service) -> EphemeralMetrics:
    """Return an empty set of the stage's metrics, which isn't shared: a process has only one Powertools `Metrics`."""
    made = EphemeralMetrics(namespace=names.METRICS, service=service)
    made.add_dimension("service", service)
    made.add_dimension("stage", names.prefix(settings.stage()))
    made.add_metadata("level", HIGHEST_LEVEL)
    made.add_metadata("timestamp", datetime.now(UTC).isoformat(timespec="milliseconds"))
    return made


def count_lost_worker(queue: str, task: str) -> None:
    """Count a worker that died while it ran `task`. The count is written at once: the next worker may die of it too."""
    write(queue, task, Counter[str]({Metric.WORKER_LOST: 1}), [])


def write_held_up(age: timedelta) -> None:
    """Write how old the oldest message is that was handed back because AWS refused a call."""
    try:
        metrics = of("tasks")
        metrics.add_metric(Metric.HELD_UP, MetricUnit.Seconds, age.total_seconds())
        metrics.flush_metrics()
    except Exception as error:  # noqa: BLE001 - a metric must not fail a batch
        _not_measured(error)


def write_failed_hooks(count: int) -> None:
    """Write how many calls of hooks have failed, if any has."""
    if not count:
        return
    try:
        metrics = of("tasks")
        metrics.add_metric(Metric.FAILED_HOOKS, MetricUnit.Count, count)
        metrics.flush_metrics()
    except Exception as error:  # noqa: BLE001 - a metric must not fail a batch
        _not_measured(error)


def write_waited(counts: Mapping[str, int]) -> None:
    """Write how often messages were sent on because of each limit. Limits are declared, so their number is small."""
    for limit, count in counts.items():
        try:
            metrics = of("tasks")
            metrics.add_dimension("limit", limit)
            metrics.add_metric(Metric.WAITED, MetricUnit.Count, count)
            metrics.flush_metrics()
        except Exception as error:  # noqa: BLE001 - a metric must not fail a batch
            _not_measured(error)


def write_open_breakers(counts: Mapping[str, int]) -> None:
    """Write how many breakers of each name are open, zero included."""
    for limit, count in counts.items():
        metrics = of("tasks")
        metrics.add_dimension("limit", limit)
        metrics.add_metric(Metric.OPEN_BREAKERS, MetricUnit.Count, count)
        metrics.flush_metrics()


def write_of_version(queue: str, version: str, failed: list[bool]) -> None:
    """Write for each message of a canary release whether the version has failed at it. Its average is their share."""
    try:
        metrics = of("tasks")
        metrics.add_dimension("queue", queue)
        metrics.add_dimension("version", version)
        for each in failed:
            metrics.add_metric(Metric.FAILED, MetricUnit.Count, each)
        if metrics.metric_set:  # a hundred values are written at once
            metrics.flush_metrics()
    except Exception as error:  # noqa: BLE001 - a metric must not fail a batch
        _not_measured(error)


def write(queue: str, task: str, counts: Counter[str], times: list[tuple[str, MetricUnit, float]]) -> None:
    """Write one line with the metrics of a task and of its queue as a whole. A failure is logged and does no harm."""
    try:
        metrics = of("tasks")
        metrics.add_dimension("queue", queue)
        # The same numbers for the queue as a whole and for the task.
        metrics.add_dimensions(service="tasks", stage=names.prefix(settings.stage()), queue=queue, task=task)
        for name, count in counts.items():
            metrics.add_metric(name, MetricUnit.Count, count)
        for name, unit, value in times:
            metrics.add_metric(name, unit, round(value, 3))
        metrics.flush_metrics()
    except Exception as error:  # noqa: BLE001 - a metric must not fail a batch
        _not_measured(error)


def _not_measured(error: Exception) -> None:
    logger.error("not measured", extra={"error": error_type(error), "where": error_place(error)})
