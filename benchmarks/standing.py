"""The fixed monthly cost of the sample stage, whether or not a task runs.

python benchmarks/standing.py

Alarms, dashboards and polled queues are counted in the templates that app.py synthesizes, metrics in the log of a task
that succeeds, queries in a run of the sweeper. Two things are assumed: a mapping's five pollers poll an idle queue
every 20 s, and a metric is written in every hour of the month. Prices: benchmarks/prices.py.
"""

import argparse
import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import prices
from figures import as_json
from quiet import say  # before any AWS library

from celeriac import Queue, task
from celeriac.relay import sweeper
from celeriac.testing import Sandbox
from celeriac.testing.lambda_ import Invocation

ROOT = Path(__file__).resolve().parents[1]
POLLS_A_MINUTE = 5 * 3
MINUTES = prices.HOURS_A_MONTH * 60
jobs = Queue("jobs", timeout=timedelta(seconds=30), batch_size=10)


@task(jobs)
def work() -> None: ...


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of the sample stage. Amounts are dollars a month."""

    alarm_count: int
    alarms: float
    dashboard: float
    queue_count: int
    polls: float
    """Polls of empty queues. A busy queue has no such polls."""
    sweeper: float
    """The sweeper's queries and its two metrics. Its Lambda time, some cents, isn't included."""
    metric_count: int
    """Metrics that a succeeding task writes: for its queue, and again for the task."""
    metrics: float
    """The metrics of one such task and its queue, if the task runs in each hour."""

    @property
    def total(self) -> float:
        """The cost without tasks."""
        return self.alarms + self.dashboard + self.polls + self.sweeper


def measure() -> Figures:
    resources = list(_synthesized())
    kinds = Counter(resource["Type"] for resource in resources)
    watched = sum(_watched(resource) for resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm")
    with Sandbox() as sandbox:
        before = sandbox.calls.copy()
        with redirect_stdout(io.StringIO()) as swept:
            sweeper.handler({}, Invocation("sweeper", "r", sandbox.now + timedelta(minutes=1)))
        queries = (sandbox.calls - before).total()
        work.enqueue()
        with redirect_stdout(io.StringIO()) as ran:
            sandbox.drain()
    # An empty query costs the smallest read: half a unit, because it is eventually consistent.
    queried = queries * MINUTES * prices.READ_UNIT.dollars / 2
    queues = kinds["AWS::Lambda::EventSourceMapping"] - 1  # one is the outbox's stream, whose reads are free
    metrics = _metrics(ran.getvalue())
    return Figures(
        alarm_count=kinds["AWS::CloudWatch::Alarm"],
        alarms=watched * prices.ALARM_MONTH.dollars,
        dashboard=kinds["AWS::CloudWatch::Dashboard"] * prices.DASHBOARD_MONTH.dollars,
        queue_count=queues,
        polls=queues * POLLS_A_MINUTE * MINUTES * prices.SQS_REQUEST.dollars,
        sweeper=queried + _metrics(swept.getvalue()) * prices.METRIC_MONTH.dollars,
        metric_count=metrics,
        metrics=metrics * prices.METRIC_MONTH.dollars,
    )


def _synthesized() -> Iterator[dict[str, Any]]:
    """The resources of the stage `dev`."""
    with TemporaryDirectory() as folder:
        environment = os.environ | {"CDK_OUTDIR": folder, "CDK_CONTEXT_JSON": json.dumps({"stage": "dev"})}
        subprocess.run([sys.executable, str(ROOT / "app.py")], cwd=ROOT, env=environment, check=True)
        for path in Path(folder).glob("*.template.json"):
            yield from json.loads(path.read_text())["Resources"].values()


def _watched(alarm: dict[str, Any]) -> int:
    """How many metrics an alarm is billed for: with an expression, each metric in the expression."""
    return sum("MetricStat" in metric for metric in alarm["Properties"].get("Metrics", [])) or 1


def _metrics(log: str) -> int:
    """How many metrics CloudWatch makes from these lines: each name once for each set of dimensions."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines() if '"_aws"' in line]
    return len(
        {
            (metric["Name"], *sorted(dimensions))
            for line in lines
            for kept in line["_aws"]["CloudWatchMetrics"]
            for metric in kept["Metrics"]
            for dimensions in kept["Dimensions"]
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    figures = measure()
    if parser.parse_args().json:
        say(as_json(figures))
        return
    say(
        f"{figures.alarm_count} alarms ${figures.alarms:.2f}, dashboard ${figures.dashboard:.2f}, "
        f"empty polls of {figures.queue_count} queues ${figures.polls:.2f}, sweeper ${figures.sweeper:.2f}"
    )
    say(f"in all ${figures.total:.2f} a month; and {figures.metric_count} metrics of a task for ${figures.metrics:.2f}")


if __name__ == "__main__":
    main()
