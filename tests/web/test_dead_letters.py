"""Dead letters on the page: from a group to a letter, and back to its queue."""

from datetime import datetime, timedelta
from typing import Any

import time_machine

from celeriac import Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.testing import Sandbox
from tests.web.conftest import Opens, Page

tills = Queue("tills")

HOSTILE = "<script>alert(1)</script>\"'\n\u202e"


@task(tills)
def page_pays(amount: int, note: str = "") -> None:
    """Fail for a negative amount."""
    if amount < 0:
        raise ValueError(HOSTILE)


def _die(sandbox: Sandbox, number: int = 1) -> None:
    for _ in range(number):
        page_pays.enqueue(-1, note="secret note")
    sandbox.drain()


def _form(amount: str) -> dict[str, Any]:
    return {"edited": "yes", "arg.amount": amount, "arg.note": "typed note"}


def _letter(page: Page) -> str:
    [group] = page.json("/dead-letters/tills")["groups"]
    [letter] = page.json("/dead-letters/tills", kind=group["kind"])["letters"]
    return f"/dead-letters/tills/letter/{letter['message_id']}"


def test_a_letter_is_edited_redriven_and_succeeds(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox)
    url = _letter(page)
    assert "secret note" not in page.html(url) + str(page.json(url))
    assert "secret note" in page.html(url, arguments="show")
    refused = page.act(f"{url}/redrive", status=422, **_form("many"))
    assert "Nothing was sent" in refused
    assert "Write a whole number" in refused
    assert 'value="many"' in refused
    assert 'value="typed note"' in refused
    assert sandbox.dead_letters(tills)
    assert page.json("/activity")["lines"] == []
    said = page.act(f"{url}/redrive", **_form("7"))
    assert "was sent back to tills" in said
    sandbox.drain()
    assert sandbox.dead_letters(tills) == []
    [line] = page.json("/activity")["lines"]
    assert (line["what"], line["count"], line["outcome"]) == ("dlq redrive", 1, "done")


def test_a_hostile_error_does_nothing(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox)
    for url in ("/dead-letters", "/dead-letters/tills", _letter(page), "/dead-letters/tills/redrive"):
        shown = page.html(url)
        assert "<script>alert" not in shown
        assert "&lt;script&gt;" in shown


def test_a_letter_that_nobody_can_read_is_shown_and_discarded(page: Page, sandbox: Sandbox) -> None:
    sandbox.send(tills, "<b>no task</b>")
    sandbox.drain()
    url = _letter(page)
    assert "&lt;b&gt;no task" in page.html(url, arguments="show")
    assert "was discarded" in page.act(f"{url}/discard")
    assert sandbox.dead_letters(tills) == []


def test_a_letter_says_what_its_reason_means_and_what_helps(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox)
    html = page.html(_letter(page))
    assert "Its attempts are used up" in html
    assert "What helps: repair the system that the task calls, redrive." in html


def test_the_limit_that_a_preview_sets_is_in_its_button_and_not_in_its_filter(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox)
    shown = page.json("/dead-letters/tills/redrive", task="page_pays")
    assert shown["filters"] == {"task": "page_pays"}
    assert set(shown["given"]) == {"task", "until"}
    html = page.html("/dead-letters/tills/redrive", task="page_pays")
    assert html.count('name="until" value=""') == 1
    assert html.count('type="hidden" name="until" value="2026-') == 1


def test_a_job_redrives_all_and_stands_in_the_activity(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 30)
    assert "30 letters" in page.html("/dead-letters/tills/redrive")
    page.act("/dead-letters/tills/jobs", what="redrive", rate="")
    page.shared.jobs.get("1").join(30)
    job = page.json("/jobs/1")["job"]
    assert (job["state"], job["count"]) == ("done", 30)
    [line] = page.json("/activity")["lines"]
    assert (line["what"], line["count"], line["outcome"]) == ("dlq redrive", 30, "done")


def test_a_discard_must_be_meant(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 3)
    assert "gone for good" in page.act("/dead-letters/tills/jobs", status=400, what="discard")
    assert "look at it again" in page.act("/dead-letters/tills/jobs", status=400, what="discard", sure="yes")
    shown = page.json("/dead-letters/tills/discard")["shown"]
    page.act("/dead-letters/tills/jobs", what="discard", sure="yes", shown=shown)
    page.shared.jobs.get("1").join(30)
    assert sandbox.dead_letters(tills) == []


def test_who_only_looks_changes_nothing(opened: Opens, sandbox: Sandbox) -> None:
    _die(sandbox)
    page = opened(read_only=True).enter()
    assert "Redrive" not in page.html(_letter(page)).partition("<main")[2]
    page.act("/dead-letters/tills/jobs", status=403, what="redrive")
    assert len(sandbox.dead_letters(tills)) == 1


def test_only_the_first_letters_are_read(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 120)
    before = sandbox.calls["sqs", "ReceiveMessage"]
    shown = page.json("/dead-letters/tills", most=50)
    assert (shown["read"], shown["total"]) == (50, 120)
    page.json("/dead-letters/tills", most=50)
    assert sandbox.calls["sqs", "ReceiveMessage"] - before <= 8


def test_a_paused_job_sends_nothing_twice_and_a_stopped_one_loses_nothing(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 40)
    page.act("/dead-letters/tills/jobs", what="redrive", rate="")
    job = page.shared.jobs.get("1")
    page.act("/jobs/1/pause")
    if job.wait_for(frozenset({"paused", "done"}), 30) and job.progress().state == "paused":
        page.act("/jobs/1/resume")
        page.act("/jobs/1/stop")
    job.join(30)
    shown = job.progress()
    assert shown.is_ended
    sent = sandbox.calls["sqs", "SendMessageBatch"]
    assert shown.count + len(sandbox.dead_letters(tills)) >= 40, sent


def test_a_preview_shows_letters_of_a_worker_whose_clock_is_ahead(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 3)
    with time_machine.travel(sandbox.now - timedelta(minutes=2), tick=False):
        preview = page.json("/dead-letters/tills/redrive")
    assert preview["matched"] == 3


def test_a_letter_that_sqs_moved_says_when_it_was_sent_and_not_that_it_died_then(page: Page, sandbox: Sandbox) -> None:
    client("sqs").send_message(QueueUrl=sqs.url(tills.dead_letter_name("test")), MessageBody='{"task": "page_pays"}')
    _die(sandbox)
    groups = page.json("/dead-letters/tills")["groups"]
    assert sorted(group["is_of_sending"] for group in groups) == [False, True]
    assert page.html("/dead-letters/tills").count("SQS doesn't say") == 1
    [moved] = [group for group in groups if group["is_of_sending"]]
    [letter] = page.json("/dead-letters/tills", kind=moved["kind"])["letters"]
    assert "say when it died" in page.html(f"/dead-letters/tills/letter/{letter['message_id']}")
    assert '<span class="none">sent</span>' in page.html("/dead-letters/tills", kind=moved["kind"])


def test_deaths_over_time_end_now(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox)
    [group] = page.json("/dead-letters/tills")["groups"]
    assert (group["over_time"][-1], sum(group["over_time"])) == (1, 1)
    sandbox.advance(timedelta(hours=3))
    _die(sandbox)
    [group] = page.json("/dead-letters/tills")["groups"]
    assert (group["over_time"][0], group["over_time"][-1], sum(group["over_time"])) == (1, 1, 2)
    assert datetime.fromisoformat(group["last"]) - datetime.fromisoformat(group["first"]) >= timedelta(hours=3)
