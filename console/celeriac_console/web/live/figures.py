"""The figures of the last hour, a value for each minute, from CloudWatch."""

from collections.abc import Iterator, Mapping, Sequence
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
FEWEST = 3
"""Fewer minutes than this say nothing of a rate."""
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
PAGE = 500
"""The most metrics of a call."""
OF_A_QUEUE = ("succeeded", "retried", "dead", "oldest")


@dataclass(frozen=True, slots=True)
class Figures:
    """A queue's last hour, the newest minute last. A minute without a value is 0."""

    succeeded: tuple[float, ...]
    """Tasks that have ended well."""
    failed: tuple[float, ...]
    """Failed attempts with a retry, and new dead letters."""
    oldest_seconds: float | None
    """The age of the oldest waiting message, as SQS said last; None if it said nothing for ten minutes."""
    begins_at: datetime
    """The first minute."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing ended in this hour."""
        return not any(self.succeeded) and not any(self.failed)

    def failed_since(self, at: datetime) -> tuple[float, float] | None:
        """Failures a minute before and since a time of this hour; None if one of the parts is too short to say."""
        minutes = int((at - self.begins_at).total_seconds() // 60)
        before, since = self.failed[:minutes], self.failed[minutes:]
        if minutes < FEWEST or len(since) < FEWEST:
            return None
        return sum(before) / len(before), sum(since) / len(since)


@dataclass(frozen=True, slots=True)
class LastHour:
    """The last hour of the stage."""

    queues: Mapping[str, Figures]
    """By queue. Without one for which CloudWatch has nothing: no task of it ended, and SQS has put it to rest."""
    swept_at: datetime | None
    """The newest minute in which the sweeper ran; None if CloudWatch knows of none."""


def metrics(queues: int) -> int:
    """How many metrics a read asks for: CloudWatch bills each of them."""
    return 4 * queues + 1


def read(queues: Sequence[Queue]) -> LastHour:
    """The figures of the stage."""
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    start = end - timedelta(minutes=MINUTES)
    asked = [_sweeps(), *(query for number, queue in enumerate(queues) for query in _queries(number, queue))]
    values: dict[str, dict[datetime, float]] = {}
    for some in batched(asked, PAGE):
        pages = client("cloudwatch").get_paginator("get_metric_data")
        for page in pages.paginate(MetricDataQueries=list(some), StartTime=start, EndTime=end):
            for result in page["MetricDataResults"]:
                found = values.setdefault(result["Id"], {})
                found |= dict(zip(result["Timestamps"], result["Values"], strict=True))
    minutes = [start + timedelta(minutes=number) for number in range(MINUTES)]
    found_of = {
        number: {name: values.get(f"{name}{number}", {}) for name in OF_A_QUEUE} for number in range(len(queues))
    }
    return LastHour(
        {
            queue.name: _figures(found_of[number], minutes)
            for number, queue in enumerate(queues)
            if any(found_of[number].values())
        },
        max(values.get("sweeps", {}), default=None),
    )


def _figures(values: Mapping[str, Mapping[datetime, float]], minutes: Sequence[datetime]) -> Figures:
    def each(name: str) -> list[float]:
        return [values[name].get(minute, 0.0) for minute in minutes]

    last = max(values["oldest"], default=None)
    is_new = last is not None and last >= minutes[-10]
    return Figures(
        tuple(each("succeeded")),
        tuple(retried + dead for retried, dead in zip(each("retried"), each("dead"), strict=True)),
        values["oldest"][last] if last is not None and is_new else None,
        minutes[0],
    )


def _sweeps() -> Any:
    # The sweeper writes this figure each time, also if it is zero.
    ours = {"service": "outbox", "stage": names.prefix(stage())}
    return _query("sweeps", names.METRICS, Metric.UNPUBLISHED_AGE, "SampleCount", ours)


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
