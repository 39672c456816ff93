"""The fixed monthly cost of the sample application, whether or not a task runs: a stage with alarms, an ephemeral one.

python benchmarks/standing.py

Alarms, dashboards, secrets and polled queues are counted in the templates that app.py synthesizes, metrics in the log
of a task that succeeds, calls in a run of the sweeper. Three things are assumed: Lambda's pollers poll an idle queue
every 20 s, two of them, or five where MaximumConcurrency is set; and a metric is written in every hour of the month.
Prices: benchmarks/prices.py.
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
from celeriac.worker.event import Invocation

ROOT = Path(__file__).resolve().parents[1]
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
POLLERS, LIMITED_POLLERS, POLLS_A_MINUTE = 2, 5, 3
FULL, EPHEMERAL = "prod", "pr-1"
MINUTES = prices.HOURS_A_MONTH * 60
jobs = Queue("jobs", timeout=timedelta(seconds=30), batch_size=10)


@task(jobs)
def work() -> None: ...


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage costs. Amounts are dollars a month."""

    alarm_count: int
    alarms: float
    dashboard: float
    queue_count: int
    polls: float
    """Polls of empty queues. A busy queue has no such polls."""
    sweeper: float
    """The sweeper's calls and its metric. Its Lambda time, some cents, isn't included."""
    secrets: float
    """Secrets of the sample tasks."""

    @property
    def total(self) -> float:
        """The cost without tasks."""
        return self.alarms + self.dashboard + self.polls + self.sweeper + self.secrets


@dataclass(frozen=True, slots=True)
class Figures:
    """The two stages, and what the metrics of a task add."""

    full: Stage
    ephemeral: Stage
    metric_count: int
    """Metrics that a succeeding task writes: for its queue, and again for the task."""
    metrics: float
    """The metrics of one such task and its queue, if the task runs in each hour, in dollars a month."""


def measure() -> Figures:
    with Sandbox() as sandbox:
        before = sandbox.calls.copy()
        with redirect_stdout(io.StringIO()) as swept:
            sweeper.handler({}, Invocation("sweeper", "r", sandbox.now + timedelta(minutes=1)))
        calls = sandbox.calls - before
        work.enqueue()
        with redirect_stdout(io.StringIO()) as ran:
            sandbox.drain()
    metrics = _metrics(ran.getvalue())
    full, ephemeral = (_stage(name, calls, _metrics(swept.getvalue())) for name in (FULL, EPHEMERAL))
    return Figures(full, ephemeral, metrics, metrics * prices.METRIC_MONTH.dollars)


def _stage(name: str, of_a_sweep: Counter[tuple[str, str]], written: int) -> Stage:
    """The cost of a stage whose sweeper makes these calls, and writes so many metrics, each time."""
    resources = list(_synthesized(name))
    kinds = Counter(resource["Type"] for resource in resources)
    watched = sum(_watched(resource) for resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm")
    (every,) = [
        int(resource["Properties"]["ScheduleExpression"].removeprefix("rate(").split()[0])
        for resource in resources
        if resource["Type"] == "AWS::Scheduler::Schedule" and "GroupName" not in resource["Properties"]
    ]
    # An empty query costs the smallest read: half a unit, because it is eventually consistent.
    a_sweep = sum(
        number * (prices.SQS_REQUEST.dollars if service == "sqs" else prices.READ_UNIT.dollars / 2)
        for (service, _), number in of_a_sweep.items()
    )
    # The outbox's stream is read for nothing.
    mappings = [
        resource["Properties"]
        for resource in resources
        if resource["Type"] == "AWS::Lambda::EventSourceMapping" and "StartingPosition" not in resource["Properties"]
    ]
    pollers = sum(LIMITED_POLLERS if "ScalingConfig" in each else POLLERS for each in mappings)
    return Stage(
        alarm_count=kinds["AWS::CloudWatch::Alarm"],
        alarms=watched * prices.ALARM_MONTH.dollars,
        dashboard=kinds["AWS::CloudWatch::Dashboard"] * prices.DASHBOARD_MONTH.dollars,
        queue_count=len(mappings),
        polls=pollers * POLLS_A_MINUTE * MINUTES * prices.SQS_REQUEST.dollars,
        sweeper=a_sweep * MINUTES / every + written * prices.METRIC_MONTH.dollars,
        secrets=kinds["AWS::SecretsManager::Secret"] * prices.SECRET_MONTH.dollars,
    )


def _synthesized(stage: str) -> Iterator[dict[str, Any]]:
    """The resources of a stage."""
    with TemporaryDirectory() as folder:
        environment = os.environ | {"CDK_OUTDIR": folder, "CDK_CONTEXT_JSON": json.dumps({"stage": stage})}
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
    for name, stage in (("with alarms", figures.full), ("ephemeral", figures.ephemeral)):
        say(
            f"a stage {name}: {stage.alarm_count} alarms ${stage.alarms:.2f}, dashboard ${stage.dashboard:.2f}, "
            f"empty polls of {stage.queue_count} queues ${stage.polls:.2f}, sweeper ${stage.sweeper:.2f}, "
            f"secrets ${stage.secrets:.2f}: in all ${stage.total:.2f} a month"
        )
    say(f"and {figures.metric_count} metrics of a task for ${figures.metrics:.2f}")


if __name__ == "__main__":
    main()
