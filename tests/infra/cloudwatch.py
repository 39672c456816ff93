"""CloudWatch as far as a stage's alarms need it: metrics by the minute, and each alarm's state changes.

A window of a metric's data that holds nothing is missing data, which each alarm treats as its template says:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

from tests.infra.template import Resource, text

type Series = tuple[str, str, frozenset[tuple[str, str]]]

_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Maximum": max,
    "Sum": sum,
    "Average": fmean,
    "SampleCount": len,
}


@dataclass(frozen=True)
class Change:
    """An alarm that begins or ends."""

    alarm: str
    at: datetime
    begins: bool
    told: str
    """`pages`, `tickets` or `nobody`."""


@dataclass
class CloudWatch:
    """The data points of all metrics, and the alarms of one template."""

    alarms: Sequence[Resource]
    points: dict[Series, list[tuple[datetime, float]]] = field(default_factory=lambda: defaultdict(list))
    changes: list[Change] = field(default_factory=list)

    def put(self, namespace: str, metric: str, at: datetime, value: float, **dimensions: str) -> None:
        self.points[namespace, metric, frozenset(dimensions.items())].append((at, value))

    def read(self, log: str, at: datetime) -> None:
        """Take the metrics of a log in the embedded metric format."""
        for line in log.splitlines():
            if not line.startswith('{"_aws"'):
                continue
            blob: Mapping[str, Any] = json.loads(line)
            for directive in blob["_aws"]["CloudWatchMetrics"]:
                for keys in directive["Dimensions"]:
                    for metric in directive["Metrics"]:
                        for value in blob[metric["Name"]]:
                            dimensions = {key: blob[key] for key in keys}
                            self.put(directive["Namespace"], metric["Name"], at, value, **dimensions)

    def evaluate(self, now: datetime) -> None:
        """Note which alarms begin and end now."""
        for alarm in self.alarms:
            name = alarm["AlarmName"]
            before = next((each.begins for each in reversed(self.changes) if each.alarm == name), False)
            if (is_raised := self._is_raised(alarm, now)) != before:
                actions = alarm.get("AlarmActions" if is_raised else "OKActions", [])
                told = text(actions[0]).rpartition("--")[2] if actions else "nobody"
                self.changes.append(Change(name, now, is_raised, told.replace("alarms", "pages")))

    def _is_raised(self, alarm: Resource, now: datetime) -> bool:
        dimensions = frozenset((each["Name"], text(each["Value"])) for each in alarm["Dimensions"])
        points = self.points.get((alarm["Namespace"], alarm["MetricName"], dimensions), [])
        period = timedelta(seconds=alarm["Period"])
        breaching = 0
        for number in range(alarm["EvaluationPeriods"]):
            until = now - number * period
            values = [value for at, value in points if until - period < at <= until]
            breaching += _breaches(alarm, values)
        return breaching >= int(alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]))


def told(changes: Iterable[Change], topic: str) -> list[tuple[str, bool]]:
    """Who was told what, in order: the alarm's name without the stage, and whether it began."""
    return [(each.alarm.partition("--")[2], each.begins) for each in changes if each.told == topic]


def _breaches(alarm: Resource, values: Sequence[float]) -> bool:
    if not values:
        return bool(alarm["TreatMissingData"] == "breaching")
    measured = _STATISTICS[alarm["Statistic"]](values)
    if alarm["ComparisonOperator"] == "LessThanThreshold":
        return bool(measured < alarm["Threshold"])
    return bool(measured >= alarm["Threshold"])
