"""The canary sees tasks: what a broken release writes about itself raises the alarm that CodeDeploy watches.

The new version's consumer runs as Lambda calls it, and CloudWatch reads its log. CodeDeploy itself isn't here.
"""

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from botocore.exceptions import ClientError

from celeriac import Queue, Reject, Retry, task
from celeriac.consume import handler as consumer
from celeriac.declare import registry
from celeriac.testing import Sandbox
from celeriac.worker.event import Invocation
from tests.infra.cloudwatch import CloudWatch
from tests.infra.conftest import build
from tests.infra.template import Resource, text
from tests.support.faults import out_of_reach, registered

jobs = Queue("canary-jobs", concurrency=5, batch_size=10)
OLD, NEW = "6", "7"
broken: list[Exception] = []


@task(jobs)
def work(number: int) -> None:
    if broken:
        raise broken[0]


@task(jobs)
def another() -> None: ...


@pytest.fixture(autouse=True)
def _mended() -> None:
    broken.clear()


@pytest.fixture(scope="module")
def watched() -> Resource:
    """The alarm that CodeDeploy watches, as it is once CloudFormation has published the version 7."""
    _, stack = build([jobs], stage="test", canary="true")
    (group,) = [
        each
        for logical, each in stack.json["Resources"].items()
        if each["Type"] == "AWS::CodeDeploy::DeploymentGroup" and "canaryjobs" in logical
    ]
    refs = [each["Name"]["Ref"] for each in group["Properties"]["AlarmConfiguration"]["Alarms"]]
    alarms = [stack.json["Resources"][ref]["Properties"] for ref in refs]
    (found,) = [alarm for alarm in alarms if "-canary-tasks-" in text(alarm["AlarmName"])]
    dimensions = [
        each if isinstance(each["Value"], str) else {"Name": each["Name"], "Value": NEW} for each in found["Dimensions"]
    ]
    return {**found, "AlarmName": f"canary-tasks-{NEW}", "Dimensions": dimensions}


@pytest.fixture
def traffic(sandbox: Sandbox, watched: Resource) -> Callable[..., list[bool]]:
    """Five minutes of a canary: in each, some messages reach a version's consumer. Returns the alarm's changes."""

    def run(minutes: list[list[Any]], version: str = NEW) -> list[bool]:
        cloudwatch = CloudWatch([watched])
        for bodies in minutes:
            log = StringIO()
            with redirect_stdout(log):
                for body in bodies:
                    _deliver(sandbox, body, version)
            sandbox.advance(timedelta(minutes=1))
            cloudwatch.read(log.getvalue(), sandbox.now)
            cloudwatch.evaluate(sandbox.now)
        return [change.begins for change in cloudwatch.changes]

    return run


_ids = iter(range(10_000))


def _deliver(sandbox: Sandbox, body: Any, version: str) -> None:
    number = next(_ids)
    text = body if isinstance(body, str) else json.dumps({"task": "work", "id": f"c-{number}", "args": {"number": 1}})
    record = {
        "messageId": f"m-{number}",
        "receiptHandle": f"r-{number}",
        "body": text,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": str(int(sandbox.now.timestamp() * 1000)),
            "ApproximateFirstReceiveTimestamp": str(int(sandbox.now.timestamp() * 1000)),
        },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:celeriac-test--canary-jobs",
    }
    context = Invocation(
        jobs.function_name("test"), f"q-{number}", sandbox.now + timedelta(seconds=30), version=version
    )
    with sandbox.worker():
        consumer.handler({"Records": [record]}, context)


GOOD: dict[str, Any] = {}


@pytest.mark.parametrize("error", [ValueError(), Reject("no"), ConnectionError(), TypeError()])
def test_a_release_whose_every_task_raises_is_stopped(traffic: Callable[..., list[bool]], error: Exception) -> None:
    broken.append(error)
    assert traffic([[GOOD], [GOOD, GOOD], [], [GOOD], []]) == [True]


def test_a_release_that_is_well_is_not_stopped(traffic: Callable[..., list[bool]]) -> None:
    assert traffic([[GOOD], [GOOD, GOOD], [], [GOOD], [GOOD]]) == []


def test_a_release_that_cant_read_the_messages_is_stopped(traffic: Callable[..., list[bool]]) -> None:
    """Its task has another signature: the messages become dead letters without a run."""
    misread = '{"task": "work", "args": {"amount": 1}}'
    assert traffic([[misread], [misread], [], [], []]) == [True]


def test_a_release_whose_module_cant_be_imported_is_stopped(
    traffic: Callable[..., list[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(registry.tasks, "work")
    monkeypatch.setattr(registry, "not_imported", {"tasks.work"})
    assert traffic([[GOOD], [GOOD], [], [], []]) == [True]


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem"])
def test_a_release_that_lacks_a_right_is_stopped(traffic: Callable[..., list[bool]], operation: str) -> None:
    """All its messages are handed back, uncharged."""

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)

    with registered("dynamodb", f"before-call.dynamodb.{operation}", refuse):
        assert traffic([[GOOD], [GOOD], [], [], []]) == [True]


def test_an_outage_stops_no_release(traffic: Callable[..., list[bool]]) -> None:
    with out_of_reach("dynamodb", "PutItem"):
        assert traffic([[GOOD]] * 5) == []


@pytest.mark.parametrize("body", ["no message", '{"task": "of_nobody"}', '{"v": 99, "task": "work"}'])
def test_what_no_release_can_read_stops_none(traffic: Callable[..., list[bool]], body: str) -> None:
    """Who may send to a queue can't stop the releases of the stage with it."""
    assert traffic([[body]] * 5) == []


def test_one_message_that_cant_succeed_stops_no_release(traffic: Callable[..., list[bool]]) -> None:
    misread = '{"task": "work", "args": {"amount": 1}}'
    assert traffic([[misread], [GOOD], [GOOD], [GOOD], [GOOD]]) == []
    assert traffic([[misread, GOOD, GOOD]] * 5) == []


def test_a_task_that_asks_for_another_run_hasnt_failed(traffic: Callable[..., list[bool]]) -> None:
    broken.append(Retry("it isn't over yet", delay=timedelta(hours=1)))
    assert traffic([[GOOD]] * 5) == []


def test_the_version_before_stops_no_release_that_mends_it(traffic: Callable[..., list[bool]]) -> None:
    broken.append(ValueError())
    assert traffic([[GOOD]] * 5, version=OLD) == []


def test_without_a_canary_nothing_is_written_by_version(sandbox: Sandbox) -> None:
    log = StringIO()
    with redirect_stdout(log):
        _deliver(sandbox, GOOD, "$LATEST")
    assert '"Succeeded"' in log.getvalue()
    assert '"Failed"' not in log.getvalue()


def test_more_failures_than_a_line_holds_are_written(sandbox: Sandbox, watched: Resource) -> None:
    from celeriac.observe import metrics  # noqa: PLC0415 - what one invocation of a large batch writes

    cloudwatch, log = CloudWatch([watched]), StringIO()
    with redirect_stdout(log):
        for number in (99, 100, 101, 200, 250):
            metrics.write_of_version("canary-jobs", NEW, [True] * number)
    cloudwatch.read(log.getvalue(), sandbox.now)
    ((_, points),) = cloudwatch.points.items()
    assert len(points) == 750
