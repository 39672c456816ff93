"""The screens of tasks: their declarations, a form that sends one, and what became of it."""

import re
from datetime import timedelta
from typing import Any

import pytest

from celeriac import AwsEvent, Backoff, Queue, task
from celeriac.declare import registry
from celeriac.testing import Sandbox
from tests.web.conftest import Opens, Page

STEP: dict[str, Any] = {"arg.step": "1"}
WELCOME: dict[str, Any] = {"arg.user_id": "7", "arg.email": "a@example.org"}

postbox = Queue("postbox")


@pytest.fixture(autouse=True)
def _greet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that needs nothing from outside."""

    def greet(user_id: int, email: str) -> dict[str, str]:
        """Welcome a new user."""
        return {"to": email, "user": str(user_id)}

    monkeypatch.setitem(registry.tasks, "greet", task(postbox, key="user_id", name="greet")(greet))


def reference(html: str) -> str:
    """The reference in the page's search field."""
    found = re.search(r'name="ref" type="search" value="([^"]*)"', html)
    assert found is not None
    return found[1]


def test_every_task_is_listed_and_found_by_its_words(page: Page) -> None:
    rows = {row["task"]: row for row in page.json("/tasks")["rows"]}
    assert set(rows) == set(registry.tasks)
    assert rows["greet"]["queue"] == "postbox"
    assert [row["task"] for row in page.json("/tasks", find="WELCOME a new user")["rows"]] == ["greet"]
    assert "No task has this in its name" in page.html("/tasks", find="<script>")


def test_what_calls_a_task_is_shown(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    event = AwsEvent({"source": ["aws.s3"], "detail-type": ["Object Created"]})
    made = task(postbox, name="on upload", on_aws=event)(lambda: None)
    monkeypatch.setitem(registry.tasks, "on upload", made)
    assert "AWS aws.s3 Object Created" in page.html("/tasks", find="on upload")
    assert "<dt>Events of AWS</dt><dd>aws.s3 Object Created</dd>" in page.html("/tasks/on%20upload")


def test_a_task_that_was_enqueued_by_its_form_is_followed_to_its_result(sandbox: Sandbox, page: Page) -> None:
    html = page.act("/enqueue/greet", **WELCOME)
    assert "greet was sent to postbox." in html
    assert "waiting in its queue" in html
    assert 'hx-get="/status' in html
    ref = reference(html)
    sandbox.drain()
    one = page.json("/status", ref=ref)["one"]
    assert (one["state"], one["has_result"], one["result"]) == ("succeeded", True, None)
    assert page.json("/status", ref=ref, result="shown")["one"]["result"] is not None
    assert 'hx-get="/status' not in page.html("/status", ref=ref)
    [line] = page.json("/activity")["lines"]
    assert (line["what"], line["count"], line["where"]) == (
        "send",
        1,
        {"task": "greet", "queue": "postbox"},
    )


def test_a_wrong_argument_is_told_beside_its_field_and_nothing_is_sent(sandbox: Sandbox, page: Page) -> None:
    html = page.act("/enqueue/greet", status=422, **WELCOME | {"arg.user_id": "<b>seven"})
    assert "Write a whole number" in html
    assert 'value="&lt;b&gt;seven"' in html
    assert 'value="a@example.org"' in html
    assert page.json("/activity")["lines"] == []


@pytest.mark.parametrize(("name", "text"), [("delay", "soon"), ("delay", "9000d"), ("key", "k" * 5000)])
def test_a_wrong_way_of_sending_is_told(page: Page, name: str, text: str) -> None:
    html = page.act("/enqueue/greet", status=422, **WELCOME | {name: text})
    assert "Nothing was sent:" in html
    assert f'value="{text}"' in html


def test_a_task_of_a_fifo_queue_needs_its_group(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = task(Queue("ledger", fifo=True), name="book")(lambda: None)
    monkeypatch.setitem(registry.tasks, "book", ledger)
    assert "required: its queue is FIFO" in page.html("/tasks/book")
    assert "enqueue it with options(group=...)" in page.act("/enqueue/book", status=422)


def test_a_task_that_is_not_there_says_why(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page.browser.get("/tasks/nothing").status_code == 404
    page.act("/enqueue/nothing", status=404)
    monkeypatch.setattr(registry, "not_imported", {"tasks.broken"})
    assert "tasks.broken couldn't be imported" in page.html("/tasks")


def test_a_task_with_any_name_has_its_screen(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "a/b <i>\"'?&"
    odd = task(Queue("odd"), name=name)(lambda: None)
    monkeypatch.setitem(registry.tasks, name, odd)
    html = page.html("/tasks")
    assert "<i>" not in html
    links = [link for link in re.findall(r'href="(/tasks/[^"]*)"', html) if "%3C" in link]
    assert "a/b &lt;i&gt;" in page.html(links[0])


def test_read_only_shows_no_form_and_sends_nothing(opened: Opens) -> None:
    page = opened(read_only=True).enter()
    assert '<form class="form"' not in page.html("/tasks/greet")
    page.act("/enqueue/greet", status=403, **WELCOME)
    page.act("/run-again", status=403, task="greet", of="7", **WELCOME)


def test_a_task_runs_again_after_a_look_at_what_it_did(sandbox: Sandbox, page: Page) -> None:
    page.act("/enqueue/greet", **WELCOME)
    sandbox.drain()
    html = page.html("/run-again", task="greet", of="7")
    assert "its effects happen a second time" in html
    assert 'value="7"' in html
    other = WELCOME | {"arg.user_id": "8"}
    assert "it must be 7" in page.act("/run-again", status=422, task="greet", of="7", **other)
    html = page.act("/run-again", task="greet", of="7", **WELCOME)
    assert page.json("/status", ref=reference(html))["one"]["state"] == "queued"
    sandbox.drain()
    assert page.json("/status", ref=reference(html))["one"]["state"] == "succeeded"


def test_a_key_or_an_id_finds_the_task(sandbox: Sandbox, page: Page) -> None:
    html = page.act("/enqueue/greet", **WELCOME)
    sandbox.drain()
    id_ = page.json("/status", ref=reference(html))["one"]["id"]
    for text in ("7", id_, f"greet/{id_}"):
        assert page.json("/status", ref=text)["one"]["id"] == id_, text


@pytest.mark.parametrize("text", ["gone", "<script>alert(1)</script>", "a/b/c/d", "'\"\u202e", "x" * 3000])
def test_what_is_not_stored_says_what_to_do(page: Page, text: str) -> None:
    html = page.html("/status", ref=text)
    assert "Nothing is stored about it." in html
    assert "<script>alert" not in html


def test_a_delayed_task_is_cancelled(sandbox: Sandbox, page: Page) -> None:
    html = page.act("/enqueue/greet", **WELCOME | {"delay": "2h"})
    ref = reference(html)
    one = page.json("/status", ref=ref)["one"]
    assert one["steps"][-1]["said"] == "delayed: due"
    html = page.act("/status/cancel", name=one["schedule"], ref=ref)
    assert "It is cancelled" in html
    one_now = page.json("/status", ref=ref)["one"]
    assert (one_now["state"], one_now["steps"][-1]["said"]) == ("cancelled", "cancelled")
    page.act("/status/cancel", status=400, name=one["schedule"], ref=ref)


def test_a_task_that_waits_in_its_queue_is_cancelled(sandbox: Sandbox, page: Page) -> None:
    ref = reference(page.act("/enqueue/greet", **WELCOME))
    one = page.json("/status", ref=ref)["one"]
    assert (one["schedule"], one["state"]) == ("", "queued")
    assert "Cancel it" in page.html("/status", ref=ref)
    assert "It is cancelled" in page.act("/status/cancel", name="", its=one["cancels"], ref=ref)
    sandbox.drain()
    one_now = page.json("/status", ref=ref)["one"]
    assert (one_now["state"], one_now["cancels"]) == ("cancelled", "")
    assert "cancelled it" in page.html("/status", ref=ref)
    assert "It isn&#39;t cancelled" not in page.act("/status/cancel", name="", its=one["cancels"], ref=ref)
    page.act("/status/cancel", status=400, name="", its="no reference", ref=ref)


def test_a_task_that_has_expired_says_by_when_it_was_to_start(
    sandbox: Sandbox, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(step: int) -> None: ...

    brief = task(postbox, key="step", expires=timedelta(minutes=1), name="stumble")(stumble)
    monkeypatch.setitem(registry.tasks, "stumble", brief)
    ref = reference(page.act("/enqueue/stumble", **STEP))
    sandbox.advance(timedelta(minutes=1))
    sandbox.drain()
    one = page.json("/status", ref=ref)["one"]
    assert (one["state"], one["has_letter"], one["may_rerun"]) == ("cancelled", False, True)
    assert one["where"] == "nowhere: it was cancelled, and has no dead letter"
    assert one["steps"][-1]["said"] == "cancelled, expired"
    assert one["steps"][-1]["error"].startswith("it was to start by 2026-")


def test_a_task_whose_record_has_expired_is_unknown(sandbox: Sandbox, page: Page, opened: Opens) -> None:
    html = page.act("/enqueue/greet", **WELCOME)
    sandbox.drain()
    sandbox.advance(postbox.record_retention + postbox.retention)
    one = opened().enter().json("/status", ref=reference(html))["one"]  # the session has ended meanwhile
    assert one["state"] == "unknown"
    assert one["may_rerun"] is False


@pytest.mark.parametrize(
    ("wait", "where"),
    [
        (timedelta(minutes=5), "the queue postbox, hidden until it is due"),
        (timedelta(hours=1), "a schedule, which sends it to the queue postbox when it is due"),
    ],
)
def test_a_task_that_failed_says_where_it_waits_for_its_next_try(
    sandbox: Sandbox, page: Page, monkeypatch: pytest.MonkeyPatch, wait: timedelta, where: str
) -> None:
    def stumble(step: int) -> None:
        raise LookupError("a stone")

    steady = Backoff(base=wait, jitter=0)
    monkeypatch.setitem(registry.tasks, "stumble", task(postbox, key="step", retry=steady, name="stumble")(stumble))
    ref = reference(page.act("/enqueue/stumble", **STEP))
    assert page.json("/status", ref=ref)["one"]["where"] == "the queue postbox"
    sandbox.run_once()
    one = page.json("/status", ref=ref)["one"]
    assert (one["state"], one["where"]) == ("retrying", where)
    assert [step["said"] for step in one["steps"]] == ["sent", "attempt 1 failed", "tries again"]
