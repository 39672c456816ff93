"""The figures of the last hour, a value for each minute, from CloudWatch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any

from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac.model.settings import stage
from celeriac.observe.metric_names import Metric
from celeriac_console.stage.clients import client

MINUTES = 60
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
PAGE = 500
"""The most metrics of a call."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A queue's last hour, the newest minute last. A minute without a value is 0."""

    succeeded: tuple[float, ...]
    """Tasks that have ended well."""
    failed: tuple[float, ...]
    """Failed attempts with a retry, and new dead letters."""
    oldest_seconds: float | None
    """The age of the oldest waiting message, as SQS said last; None if it said nothing for ten minutes."""


def metrics(queues: int) -> int:
    """How many metrics a read asks for: CloudWatch bills each of them."""
    return 4 * queues


def read(queues: Sequence[Queue]) -> dict[str, Figures]:
    """The figures of each queue, by its name."""
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    start = end - timedelta(minutes=MINUTES)
    asked = [query for number, queue in enumerate(queues) for query in _queries(number, queue)]
    values: dict[str, dict[datetime, float]] = {}
    for some in batched(asked, PAGE):
        pages = client("cloudwatch").get_paginator("get_metric_data")
        for page in pages.paginate(MetricDataQueries=list(some), StartTime=start, EndTime=end):
            for result in page["MetricDataResults"]:
                found = values.setdefault(result["Id"], {})
                found |= dict(zip(result["Timestamps"], result["Values"], strict=True))
    minutes = [start + timedelta(minutes=number) for number in range(MINUTES)]
    return {queue.name: _figures(number, values, minutes) for number, queue in enumerate(queues)}


def _figures(number: int, values: dict[str, dict[datetime, float]], minutes: Sequence[datetime]) -> Figures:
    def each(name: str) -> list[float]:
        found = values.get(f"{name}{number}", {})
        return [found.get(minute, 0.0) for minute in minutes]

    oldest = values.get(f"oldest{number}", {})
    last = max(oldest, default=None)
    is_new = last is not None and last >= minutes[-10]
    return Figures(
        tuple(each("succeeded")),
        tuple(retried + dead for retried, dead in zip(each("retried"), each("dead"), strict=True)),
        oldest[last] if last is not None and is_new else None,
    )


def _queries(number: int, queue: Queue) -> Iterator[Any]:
    ours = {"service": "tasks", "stage": names.prefix(stage()), "queue": queue.name}
    yield _query(f"succeeded{number}", names.METRICS, Metric.SUCCEEDED, "Sum", ours)
    yield _query(f"retried{number}", names.METRICS, Metric.RETRIED, "Sum", ours)
    yield _query(f"dead{number}", names.METRICS, Metric.DEAD_LETTERED, "Sum", ours)
    sqs = {"QueueName": queue.physical_name(stage())}
    yield _query(f"oldest{number}", "AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", sqs)


def _query(id_: str, namespace: str, metric: str, statistic: str, dimensions: dict[str, str]) -> Any:
    return {
        "Id": id_,
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            },
            "Period": 60,
            "Stat": statistic,
        },
    }
