"""What is measured, by queue and by task: Powertools' metrics, which CloudWatch reads from the log without a call.

Their dimensions are the stage, the queue, and the task where a release knows it: never anything that a message says.
"""

from collections import Counter
from typing import Literal

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from celeriac.model import names, settings
from celeriac.model.failure import error_place, error_type
from celeriac.observe.log import logger

UNKNOWN = "unknown"
"""The task of what can't be read, or names none that is registered."""
type Service = Literal["tasks", "outbox"]


def of(service: Service) -> EphemeralMetrics:
    """An empty set of metrics of the stage, shared with nobody: Powertools' `Metrics` is one for the whole process."""
    made = EphemeralMetrics(namespace=names.METRICS, service=service)
    made.add_dimension("service", service)
    made.add_dimension("stage", settings.stage())
    return made


def count_lost_worker(queue: str, task: str) -> None:
    """Count a worker that died while it ran `task`, at once: the next one may die of it too."""
    write(queue, task, Counter({"WorkerLost": 1}), [])


def write(queue: str, task: str, counts: Counter[str], times: list[tuple[str, MetricUnit, float]]) -> None:
    """Write one line: of a task, and of its queue as a whole. What can't be measured is logged, and costs nothing."""
    try:
        metrics = of("tasks")
        metrics.add_dimension("queue", queue)
        # The same figures for the queue as a whole and for the task.
        metrics.add_dimensions(service="tasks", stage=settings.stage(), queue=queue, task=task)
        for name, count in counts.items():
            metrics.add_metric(name, MetricUnit.Count, count)
        for name, unit, value in times:
            metrics.add_metric(name, unit, round(value, 3))
        metrics.flush_metrics()
    except Exception as error:  # noqa: BLE001 - no figure is worth a batch
        logger.error("not measured", extra={"error": error_type(error), "where": error_place(error)})
