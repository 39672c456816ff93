"""Parts of the overview that CloudWatch and CloudFormation tell: the sweeper, the last deploy, what it has changed."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from celeriac import Queue, task
from celeriac.model import names
from celeriac.relay.measure import measure_outbox
from celeriac.testing import Sandbox
from celeriac_console.web.screens.overview import NO_SWEEP
from tests.conftest import STAGE
from tests.web.conftest import Page

mills = Queue("mills")
looms = Queue("looms")


@task(mills)
def page_mills() -> None: ...


@task(looms)
def page_looms() -> None: ...


@dataclass
class Told:
    """Stands before AWS: what CloudWatch and CloudFormation say."""

    figures: dict[str, Callable[[datetime], float | None]] = field(default_factory=dict)
    """A value for each minute, by a metric's name and a queue's; None for a minute without one."""
    stacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the stack's name. The others don't exist."""
    asked: list[Any] = field(default_factory=list)
    """The metrics that CloudWatch was asked for."""

    def says(self, operation: str, arguments: Any) -> Any:
        if operation == "GetMetricData":
            self.asked = arguments["MetricDataQueries"]
            minutes = [arguments["StartTime"] + timedelta(minutes=number) for number in range(60)]
            return {"MetricDataResults": [self._result(query, minutes) for query in self.asked]}
        if operation == "DescribeStacks":
            if arguments["StackName"] not in self.stacks:
                missing: Any = {"Error": {"Code": "ValidationError", "Message": "does not exist"}}
                raise ClientError(missing, operation)
            return {"Stacks": [self.stacks[arguments["StackName"]]]}
        return None

    def _result(self, query: Any, minutes: list[datetime]) -> Any:
        metric = query["MetricStat"]["Metric"]
        of = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
        value = self.figures.get(f"{metric['MetricName']} {of.get('queue', of.get('QueueName', ''))}".strip())
        found = [(at, value(at)) for at in minutes] if value is not None else []
        shown = [(at, one) for at, one in found if one is not None]
        return {"Id": query["Id"], "Timestamps": [at for at, _ in shown], "Values": [one for _, one in shown]}


@pytest.fixture
def told(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Told:
    """What CloudWatch and CloudFormation say."""
    real, told = BaseClient._make_api_call, Told()  # type: ignore[attr-defined]

    def call(self: Any, operation: str, arguments: Any) -> Any:
        return told.says(operation, arguments) or real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    return told


def _deployed(told: Told, ago: timedelta, status: str = "UPDATE_COMPLETE") -> None:
    at = datetime.now(UTC) - ago
    for part in ("state", "work"):
        stack = {"StackStatus": status if part == "work" else "UPDATE_COMPLETE", "CreationTime": at}
        told.stacks[names.part(STAGE, part)] = stack | {"LastUpdatedTime": at}


@pytest.mark.parametrize(("minutes", "is_late"), [(2, False), (9, False), (11, True), (40, True)])
def test_the_overview_says_when_the_sweeper_ran_and_whether_it_is_late(
    page: Page, told: Told, *, minutes: int, is_late: bool
) -> None:
    last = datetime.now(UTC) - timedelta(minutes=minutes)
    told.figures["UnpublishedAge"] = lambda at: 1.0 if at <= last else None
    data = page.json("/")
    assert datetime.fromisoformat(data["swept_at"]) == last.replace(second=0, microsecond=0)
    assert data["sweeper_is_late"] is is_late
    tile = page.html("/").partition("sweeper ran")[0].rpartition("<a ")[2]
    assert f"{minutes} min ago" in tile
    assert ("tile bad" in tile) is is_late
    assert NO_SWEEP == 10 * 60


def test_without_a_sweep_that_cloudwatch_knows_there_is_no_tile(page: Page, told: Told) -> None:
    assert page.json("/")["swept_at"] is None
    assert "sweeper ran" not in page.html("/")


def test_the_sweeper_is_looked_for_under_the_name_by_which_it_measures(
    page: Page, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    page.json("/")
    [asked] = [query["MetricStat"]["Metric"] for query in told.asked if query["Id"] == "sweeps"]
    capsys.readouterr()
    measure_outbox()
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if asked["MetricName"] in line]
    [written] = line["_aws"]["CloudWatchMetrics"]
    assert written["Namespace"] == asked["Namespace"]
    dimensions = {each["Name"]: each["Value"] for each in asked["Dimensions"]}
    assert sorted(dimensions) in [sorted(names) for names in written["Dimensions"]]
    assert {name: line[name] for name in dimensions} == dimensions


def test_a_queue_that_fails_more_since_the_deploy_says_so(page: Page, told: Told) -> None:
    _deployed(told, timedelta(minutes=20))
    since = datetime.now(UTC) - timedelta(minutes=20)
    told.figures["Retried mills"] = lambda at: 6.0 if at >= since else 0.5
    told.figures["Retried looms"] = lambda _: 6.0
    rows = {row["queue"]: row for row in page.json("/")["rows"]}
    text = page.html("/")
    assert "fails more since the deploy" in text.partition('id="queue-mills"')[2].partition("</tr>")[0]
    assert "since the deploy" not in text.partition('id="queue-looms"')[2].partition("</tr>")[0]
    assert sum(rows["mills"]["figures"]["failed"]) == 40 * 0.5 + 20 * 6
    of_queue = page.html("/queues/mills")
    assert "Failures a minute: 6.0 since the deploy" in of_queue
    assert "0.5 before it" in of_queue
    assert "Last deploy" in text
    assert "20 min ago" in text.partition("Last deploy")[2]


@pytest.mark.parametrize("minutes", [1, 59, 90])
def test_a_deploy_of_just_now_or_of_long_ago_says_nothing_of_failures(page: Page, told: Told, minutes: int) -> None:
    _deployed(told, timedelta(minutes=minutes))
    told.figures["Retried mills"] = lambda _: 6.0
    assert page.json("/queues/mills")["since_deploy"] is None
    assert "fails more since" not in page.html("/")


@pytest.mark.parametrize(
    ("status", "kind"), [("UPDATE_ROLLBACK_COMPLETE", "bad"), ("UPDATE_IN_PROGRESS", "warn"), ("UPDATE_COMPLETE", "")]
)
def test_a_deploy_that_failed_or_goes_on_is_marked(page: Page, told: Told, status: str, kind: str) -> None:
    _deployed(told, timedelta(minutes=5), status)
    shown = page.html("/").partition("Last deploy")[2]
    assert (f'<span class="tag {kind}">' in shown) == bool(kind)
    assert (f": {status}</span>" in shown) == bool(kind)


def test_a_stack_that_is_missing_beside_the_other_is_told(page: Page, told: Told) -> None:
    _deployed(told, timedelta(minutes=5))
    del told.stacks[names.part(STAGE, "work")]
    assert "not deployed" in page.html("/").partition("Last deploy")[2]
