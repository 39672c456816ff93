"""A queue, the outbox and the quarantine, as an operator works with them."""

from typing import Any

import pytest

import celeriac
from celeriac import Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.declare import registry
from celeriac.testing import Sandbox
from tests.web.conftest import Opens, Page

shop = Queue("watched")
HOSTILE = "<script>alert('1')</script>\"\u202e\n"


@task(shop, on="watched.event")
def watch(number: int) -> None: ...


def _emit(*numbers: int) -> None:
    for number in numbers:
        with celeriac.transaction() as tx:
            tx.emit("watched.event", {"secret": number, "number": number}, aggregate="item")


def _park() -> None:
    table = "celeriac-test--outbox"
    for row in client("dynamodb").scan(TableName=table)["Items"]:
        parked: dict[str, Any] = {"waiting": {"S": "parked"}, "reason": {"S": HOSTILE}}
        client("dynamodb").put_item(TableName=table, Item=row | parked)


def test_a_queue_shows_its_state_its_tasks_and_its_numbers(page: Page, sandbox: Sandbox) -> None:
    data = page.json("/queues/watched")
    assert data["row"]["counts"]["waiting"] == 0
    assert data["tasks"] == ["watch"]
    assert data["numbers"]["Timeout of an invocation"] == "30 s"
    assert "No figures of this hour" in page.html("/queues/watched")
    assert page.browser.get("/queues/nowhere").status_code == 404


def test_a_queue_without_a_consumer_cant_be_paused_and_says_why(page: Page) -> None:
    assert "has no consumer" in page.act("/queues/watched/pause", status=400)
    assert [line["what"] for line in page.json("/activity")["lines"]] == ["pause"]


def test_a_queue_with_dead_letters_comes_first(page: Page, sandbox: Sandbox) -> None:
    client("sqs").send_message(QueueUrl=sqs.url(shop.dead_letter_name("test")), MessageBody="{}")
    page.shared.live.counts.get(fresh=True)
    first = page.json("/")["rows"][0]
    assert first["queue"] == "watched"
    text = page.html("/")
    assert "1 dead letter</span>" in text
    assert "/dead-letters/watched/redrive" in text


def test_a_task_goes_into_quarantine_and_out_again(page: Page) -> None:
    assert "task:watch is in quarantine" in page.act("/quarantine/add", task="watch", kind="")
    assert quarantine.entries() == {"task:watch"}
    assert page.json("/quarantine")["entries"][0]["queue"] == "watched"
    page.act("/quarantine/lift", entry="task:watch")
    assert quarantine.entries() == frozenset()
    assert [line["what"] for line in page.json("/activity")["lines"]] == ["quarantine lift", "quarantine add"]


def test_a_kind_of_failure_comes_from_a_link_with_hostile_letters(page: Page) -> None:
    text = page.html("/quarantine", kind=HOSTILE)
    assert "<script>alert" not in text
    page.act("/quarantine/add", kind=HOSTILE)
    assert "<script>alert" not in page.html("/quarantine")


@pytest.mark.parametrize("form", [{}, {"task": "watch", "kind": "both"}, {"task": "nobody"}, {"kind": "x" * 501}])
def test_a_wrong_quarantine_is_refused_with_a_reason(page: Page, form: dict[str, str]) -> None:
    assert 'role="alert"' in page.act("/quarantine/add", status=400, **form)
    assert quarantine.entries() == frozenset()


def test_parked_events_are_shown_in_pages_without_their_data(page: Page) -> None:
    _emit(*range(60))
    _park()
    first = page.json("/outbox")
    assert len(first["rows"]) == 50
    assert len(page.json("/outbox", after=first["next"])["rows"]) >= 1
    text = page.html("/outbox")
    assert "secret" not in text
    assert "<script>alert" not in text


@pytest.mark.parametrize("form", [{"type": "", "since": "2h"}, {"type": "*", "since": "soon"}])
def test_a_wrong_filter_begins_no_preview(page: Page, form: dict[str, str]) -> None:
    page.act("/outbox/preview", status=400, **form)
    assert page.shared.jobs.all() == []


def test_who_may_only_look_gets_no_buttons(opened: Opens) -> None:
    page = opened(read_only=True).enter()
    assert "watched" in registry.queues()
    for url in ("/", "/queues/watched", "/outbox", "/quarantine"):
        assert 'method="post"' not in page.html(url)
    for url in ("/queues/watched/pause", "/quarantine/add", "/outbox/preview"):
        page.act(url, status=403)


def test_a_stage_in_a_stack_of_the_applications_own_has_no_stacks_to_show(page: Page) -> None:
    assert page.json("/")["stacks"] == []
    assert "Last deploy" not in page.html("/")


@pytest.mark.parametrize("after", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday"])
def test_a_time_that_nobody_can_mean_is_refused_in_words(page: Page, after: str) -> None:
    for url, name in (("/outbox", "after"), ("/dead-letters", "since"), ("/schedules", "from")):
        answer = page.browser.get(url, params={name: after})
        assert answer.status_code == 400
        assert "is no time: write e.g." in answer.text
