"""What is measured, by queue and by task: Powertools' metrics, which CloudWatch reads from the log without a call.

Their dimensions are the stage, the queue, and the task where a release knows it: never anything that a message says.
"""

from collections import Counter, defaultdict
from threading import Lock
from typing import Literal

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from celeriac import names, settings
from celeriac.failure import error_place, error_type
from celeriac.log import logger
from celeriac.observed import Observed
from celeriac.outcome import Dead, Outcome, Retried, Skipped, Succeeded
from celeriac.queue import Queue

UNKNOWN = "unknown"
"""The task of what can't be read, or names none that is registered."""
type Service = Literal["tasks", "outbox"]


def of(service: Service) -> EphemeralMetrics:
    """An empty set of metrics of the stage, shared with nobody: Powertools' `Metrics` is one for the whole process."""
    made = EphemeralMetrics(namespace=names.METRICS, service=service)
    made.add_dimension("service", service)
    made.add_dimension("stage", settings.stage())
    return made


def counted(outcome: Outcome, observed: Observed) -> list[str]:
    """The names under which an attempt counts."""
    counts = ["Started"] if observed.has_run else []
    match outcome:
        case Succeeded():
            counts.append("Succeeded")
        case Retried():
            counts.append("Retried")
        case Dead(failure=failure):
            counts += ["DeadLettered", "Rejected"] if failure.reason == "rejected" else ["DeadLettered"]
        case Skipped(why=why):
            counts.append({"poison": "PoisonSkipped", "test_event": "TestEvent"}.get(why, "Duplicate"))
        case _:
            pass  # it comes again: then it counts
    return counts


def count_lost_worker(queue: Queue, task: str) -> None:
    """Count a worker that died while it ran `task`, at once: the next one may die of it too."""
    _write(queue.name, task, Counter({"WorkerLost": 1}), [])


class Tally:
    """What one invocation did with one queue's messages."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._times: defaultdict[tuple[str, str], list[tuple[str, MetricUnit, float]]] = defaultdict(list)

    def add(self, queue: Queue, outcome: Outcome, observed: Observed, *, seconds: float) -> None:
        """Count an attempt that took `seconds`, from its claim to its settlement."""
        of_task = (queue.name, observed.task or UNKNOWN)
        with self._lock:
            self._counts[of_task].update(counted(outcome, observed))
            if observed.has_run:
                self._times[of_task].append(("Duration", MetricUnit.Milliseconds, seconds * 1000))
            if observed.age is not None:
                self._times[of_task].append(("AgeAtStart", MetricUnit.Seconds, observed.age.total_seconds()))

    def flush(self) -> None:
        """Write out what was counted since the last time: one line for each task."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(Counter)
            times, self._times = self._times, defaultdict(list)
        for (queue, task), counter in counts.items():
            if counter:
                _write(queue, task, counter, times[queue, task])


def _write(queue: str, task: str, counts: Counter[str], times: list[tuple[str, MetricUnit, float]]) -> None:
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
