"""What has changed since the last deploy: failures of queues, and failures that are new."""

from datetime import timedelta
from typing import Any

import pytest

from celeriac import Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client as aws
from celeriac.consume import quarantine
from celeriac.model import names
from celeriac.observe.metric_names import Metric
from celeriac.testing import Sandbox
from celeriac_console.stage.clients import client
from tests.conftest import STAGE
from tests.web.conftest import Page

oven, mixer = Queue("oven"), Queue("mixer")
HALF = timedelta(minutes=30)
TEMPLATE = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'


@task(oven)
def page_bakes(number: int) -> None:
    raise Reject("burnt") if number else Reject("raw")


@task(mixer)
def page_mixes(number: int) -> None: ...


def _deploy() -> None:
    client("cloudformation").create_stack(StackName=names.part(STAGE, "work"), TemplateBody=TEMPLATE)


def _failed(sandbox: Sandbox, queue: str, before: int, since: int) -> None:
    """Failures of each minute of the last hour, with the deploy in the middle."""
    dimensions: Any = [
        {"Name": name, "Value": value}
        for name, value in {"service": "tasks", "stage": names.prefix(STAGE), "queue": queue}.items()
    ]
    for minute in range(1, 60):
        value = before if minute > 30 else since
        data: Any = {
            "MetricName": Metric.DEAD_LETTERED,
            "Dimensions": dimensions,
            "Timestamp": sandbox.now - timedelta(minutes=minute),
            "Value": value,
        }
        client("cloudwatch").put_metric_data(Namespace=names.METRICS, MetricData=[data])


def test_the_overview_tells_where_failures_have_become_more_or_fewer(page: Page, sandbox: Sandbox) -> None:
    _deploy()
    sandbox.advance(HALF)
    _failed(sandbox, "oven", before=0, since=4)
    _failed(sandbox, "mixer", before=2, since=2)
    sandbox.advance(timedelta(minutes=1))
    data = page.json("/")
    [change] = data["changes"]
    assert (change["queue"], change["before"]) == ("oven", pytest.approx(0, abs=0.3))
    assert change["since"] == pytest.approx(4, abs=0.3)
    html = page.html("/")
    assert "Failures a minute, before and since" in html
    assert "fails more since the deploy" in html
    assert "since the deploy" in page.html("/queues/oven")


def test_a_failure_that_is_new_since_the_deploy_has_a_tag(page: Page, sandbox: Sandbox) -> None:
    page_bakes.enqueue(0)
    sandbox.drain()
    sandbox.advance(HALF)
    _deploy()
    sandbox.advance(HALF)
    page_bakes.enqueue(1)
    sandbox.drain()
    for url in ("/dead-letters", "/dead-letters/oven"):
        shown = page.html(url)
        first, second = sorted(shown.split("<tr data-row>")[1:], key=lambda row: "burnt" in row)
        assert "new since the deploy" not in first
        assert "new since the deploy" in second
    # Of a part of the letters nobody can say so.
    assert "new since the deploy" not in page.html("/dead-letters/oven", most=1, fresh="yes")


def test_a_queue_says_that_a_task_of_it_is_in_quarantine(page: Page) -> None:
    quarantine.add(quarantine.of_task("page_bakes"))
    rows = {row["queue"]: row for row in page.json("/")["rows"]}
    assert rows["oven"]["quarantined"] == ["page_bakes"]
    assert rows["mixer"]["quarantined"] == []
    assert "1 task in quarantine" in page.html("/queues/oven")


def test_a_letter_tells_of_its_redrives(page: Page, sandbox: Sandbox) -> None:
    page_bakes.enqueue(1)
    page_bakes.enqueue(1)
    sandbox.drain()
    [group] = page.json("/dead-letters/oven")["groups"]
    letters = page.json("/dead-letters/oven", kind=group["kind"])["letters"]
    first, second = (f"/dead-letters/oven/letter/{letter['id']}" for letter in letters)
    assert "tell of none" in page.html(first)
    page.act(f"{first}/redrive")
    sandbox.drain()
    html = page.html(first)
    assert "with changed arguments" not in html
    assert 'href="/activity?before=2"' in html
    assert [each["is_certain"] for each in page.json(first)["redrives"]] == [True]
    assert page.json(second)["redrives"] == []
    page.act("/dead-letters/oven/jobs", what="redrive", task="page_bakes")
    page.shared.jobs.get("1").join(30)
    sandbox.drain()
    assert [each["is_certain"] for each in page.json(first)["redrives"]] == [False, True]
    assert "perhaps, it was a redrive of 2 letters" in page.html(second)
    # A letter that was sent later, and one of another task, can't have been among them.
    sandbox.advance(HALF)
    page_bakes.enqueue(1)
    sandbox.drain()
    page.json("/dead-letters/oven", fresh="yes")
    newest = page.json("/dead-letters/oven", kind=group["kind"])["letters"][0]
    assert page.json(f"/dead-letters/oven/letter/{newest['id']}")["redrives"] == []


def test_a_letter_is_shown_without_its_redrives_if_the_activity_cant_be_read(page: Page, sandbox: Sandbox) -> None:
    sqs_url = sqs.url(oven.dead_letter_name(STAGE))
    aws("sqs").send_message(QueueUrl=sqs_url, MessageBody="{}")
    [group] = page.json("/dead-letters/oven")["groups"]
    [letter] = page.json("/dead-letters/oven", kind=group["kind"])["letters"]
    aws("dynamodb").delete_table(TableName=names.idempotency_table(STAGE))
    assert "The activity can&#39;t be read now." in page.html(f"/dead-letters/oven/letter/{letter['message_id']}")
