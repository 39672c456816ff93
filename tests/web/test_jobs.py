"""Jobs of the page: none of their letters is lost or sent twice, however they are paused, stopped or refused by AWS."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock, Thread
from typing import Any

import msgspec
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from celeriac import Queue, Reject, task
from celeriac.aws import sqs
from celeriac.testing import Sandbox
from celeriac_console.web.jobs import job as job_module
from celeriac_console.web.jobs.job import Job
from tests.conftest import STAGE
from tests.web.conftest import Opens, Page

wagons = Queue("wagons")

REFUSED = {"Error": {"Code": "AccessDenied", "Message": "by the test"}}


@task(wagons)
def page_bills(number: int) -> None:
    """Fail for good."""
    raise Reject(f"bill {number}")


@dataclass
class Sent:
    """Stands before AWS: sees each batch that is sent, and may act at one."""

    numbers: Counter[int] = field(default_factory=Counter)
    """How often each letter was sent."""
    at: Mapping[int, Callable[[], object]] = field(default_factory=dict)
    """What to do before the batch of this number."""
    batches: int = 0
    refuses: Mapping[str, str] = field(default_factory=dict)
    """The operations that AWS refuses, each with its code."""
    lock: Lock = field(default_factory=Lock)

    def before(self, entries: list[dict[str, Any]]) -> None:
        """Called with a batch."""
        with self.lock:
            self.batches += 1
            batch = self.batches
        self.at.get(batch, lambda: None)()
        with self.lock:
            self.numbers.update(_number(entry["MessageBody"]) for entry in entries)


@pytest.fixture
def sent(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """What jobs send from now on."""
    real, found = BaseClient._make_api_call, Sent()  # type: ignore[attr-defined]

    def seen(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if code := found.refuses.get(operation):
            refused: Any = client.exceptions.from_code(code)
            raise refused({"Error": {"Code": code, "Message": "by the test"}}, operation)
        if operation == "SendMessageBatch":
            found.before(arguments["Entries"])
        return real(client, operation, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", seen)
        yield found


def _number(body: str) -> int:
    return int(msgspec.json.decode(body)["args"]["number"])


def _die(sandbox: Sandbox, count: int) -> None:
    page_bills.enqueue_many({"number": number} for number in range(count))
    sandbox.drain()
    assert len(sandbox.dead_letters(wagons)) == count


def _left(sandbox: Sandbox) -> list[int]:
    return [letter.args["number"] for letter in sandbox.dead_letters(wagons)]


def _start(page: Page, **form: Any) -> Job:
    page.act("/dead-letters/wagons/jobs", what="redrive", **form)
    return page.shared.jobs.get("1")


def _job(page: Page) -> Job:
    return page.shared.jobs.get("1")


def test_a_job_that_is_paused_and_resumed_sends_each_letter_once(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _die(sandbox, 120)
    sent.numbers.clear()
    sent.batches, sent.at = 0, {2: lambda: _job(page).pause()}
    job = _start(page)
    assert job.wait_for(frozenset({"paused"}), 30)
    first = Counter(sent.numbers)
    assert 0 < first.total() < 120
    # What isn't sent is back, and another reader sees it while the job waits.
    assert sorted([*first, *_left(sandbox)]) == list(range(120))
    shown = page.json("/dead-letters/wagons")
    assert shown["read"] == 120 - first.total()
    assert "paused" in page.html("/jobs/1")
    # It is seen from wherever somebody is, until it has ended. Then an open tab asks no more.
    assert '<a href="/jobs/1">Redrive of wagons</a>: paused' in page.html("/tasks")
    assert "hx-get" in page.html("/jobs/1")
    page.act("/jobs/1/resume")
    job.join(30)
    assert job.progress().state == "done"
    assert "/jobs/1" not in page.html("/tasks")
    assert "hx-get" not in page.html("/jobs/1")
    assert sent.numbers == Counter(range(120))
    assert _left(sandbox) == []
    [line] = page.json("/activity")["lines"]
    assert (line["count"], line["outcome"]) == (120, "done")


class AtOnce(Thread):
    """A thread that has run before its starter goes on, as may happen to each."""

    def start(self) -> None:
        super().start()
        super().join()


def test_a_job_is_found_from_its_first_letter_on(
    page: Page, sandbox: Sandbox, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    _die(sandbox, 5)
    found: list[Job] = []
    sent.batches, sent.at = 0, {1: lambda: found.append(_job(page))}
    monkeypatch.setattr(job_module, "Thread", AtOnce)
    job = _start(page)
    assert job.progress().state == "done"
    assert found == [job]


def test_a_job_that_is_stopped_half_way_leaves_the_rest(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _die(sandbox, 120)
    sent.numbers.clear()
    sent.batches, sent.at = 0, {2: lambda: _job(page).stop()}
    job = _start(page)
    job.join(30)
    shown = job.progress()
    assert shown.state == "stopped"
    assert 0 < shown.count == sent.numbers.total() < 120
    assert sorted([*sent.numbers, *_left(sandbox)]) == list(range(120))
    [line] = page.json("/activity")["lines"]
    assert (line["count"], line["outcome"]) == (shown.count, "stopped")


def test_a_paused_job_can_be_stopped(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _die(sandbox, 30)
    sent.batches, sent.at = 0, {1: lambda: _job(page).pause()}
    job = _start(page)
    assert job.wait_for(frozenset({"paused"}), 30)
    page.act("/jobs/1/stop")
    job.join(30)
    assert job.progress().state == "stopped"
    assert job.progress().count + len(_left(sandbox)) == 30


def test_a_job_that_aws_refuses_says_so_and_tells_how_many_it_sent(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    def refuse() -> None:
        raise ClientError(REFUSED, "SendMessageBatch")  # type: ignore[arg-type]  # as AWS answers

    _die(sandbox, 120)
    sent.numbers.clear()
    sent.batches, sent.at = 0, {3: refuse}
    job = _start(page)
    job.join(30)
    shown = job.progress()
    assert shown.state == "failed"
    assert shown.problem
    assert 0 < shown.count == sent.numbers.total() < 120
    assert sorted([*sent.numbers, *_left(sandbox)]) == list(range(120))
    html = page.html("/jobs/1")
    assert "still a dead letter" in html
    assert "AccessDenied" in html
    [line] = page.json("/activity")["lines"]
    assert line["count"] == shown.count
    assert line["outcome"] == "failed: AccessDenied"
    # Another job may follow at once, and does the rest.
    sent.at = {}
    page.act("/dead-letters/wagons/jobs", what="redrive")
    page.shared.jobs.get("2").join(30)
    assert sent.numbers == Counter(range(120))


@pytest.mark.parametrize("operation", ["ReceiveMessage", "SendMessageBatch", "DeleteMessageBatch"])
def test_a_job_whose_login_expires_waits_for_a_new_one_and_goes_on(
    page: Page, sandbox: Sandbox, sent: Sent, operation: str
) -> None:
    _die(sandbox, 60)
    sent.numbers.clear()
    sent.refuses = {operation: "ExpiredToken"}
    job = _start(page)
    assert job.wait_for(frozenset({"paused"}), 30)
    html = page.html("/jobs/1")
    assert "log in again" in html
    assert "Resume it then" in html
    sent.refuses = {}
    page.act("/jobs/1/resume")
    job.join(30)
    shown = job.progress()
    assert (shown.state, shown.count, shown.problem, shown.work.problems) == ("done", 60, "", [])
    assert sent.numbers == Counter(range(60))
    assert _left(sandbox) == []
    [line] = page.json("/activity")["lines"]
    assert (line["count"], line["outcome"]) == (60, "done")


def test_letters_that_were_sent_and_not_deleted_are_counted_and_named(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _die(sandbox, 5)
    sent.numbers.clear()
    sent.refuses = {"DeleteMessageBatch": "AccessDenied"}
    job = _start(page)
    job.join(30)
    sent.refuses = {}
    shown = job.progress()
    assert shown.state == "failed"
    assert shown.count == sent.numbers.total() > 0
    assert len(shown.work.problems) == shown.count
    assert "it may be sent twice" in page.html("/jobs/1")
    [line] = page.json("/activity")["lines"]
    assert line["count"] == shown.count
    assert sorted(_left(sandbox)) == list(range(5))


def test_a_job_sends_letters_of_a_task_that_nobody_has_as_they_are(opened: Opens, sandbox: Sandbox) -> None:
    page_bills.enqueue(1)
    sandbox.drain()
    [letter] = sandbox.dead_letters(wagons)
    strange = msgspec.json.decode(letter.body) | {"task": "<i>gone</i>", "id": "strange"}
    sandbox.send(wagons, msgspec.json.encode(strange).decode())
    sandbox.drain()
    page = opened().enter()  # a session is over by now: it is tried for long
    [one] = [
        each
        for group in page.json("/dead-letters/wagons")["groups"]
        for each in page.json("/dead-letters/wagons", kind=group["kind"])["letters"]
        if each["task"] == "<i>gone</i>"
    ]
    url = f"/dead-letters/wagons/letter/{one['message_id']}"
    html = page.html(url, arguments="show")
    assert "No task here has this name" in html
    assert "<i>gone" not in html
    assert "gone" in page.act(f"{url}/redrive", status=400, edited="yes")
    job = _start(page, task="<i>gone</i>")
    job.join(30)
    assert (job.progress().state, job.progress().count) == ("done", 1)
    assert "<i>gone" not in page.html("/jobs/1")
    sandbox.drain()  # it dies again: nobody knows it
    assert len(sandbox.dead_letters(wagons)) == 2


def test_a_preview_of_some_letters_tells_how_many_are_meant(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 60)
    shown = page.json("/dead-letters/wagons", most=20)
    assert (shown["read"], shown["total"]) == (20, 60)
    assert "first 20 of about 60" in page.html("/dead-letters/wagons", most=20)
    preview = page.json("/dead-letters/wagons/redrive", most=20)
    assert (preview["matched"], preview["estimated"], preview["is_all"]) == (20, 60, False)
    assert "about 60" in page.html("/dead-letters/wagons/redrive", most=20)
    job = _start(page)
    job.join(30)
    assert job.progress().count == 60
    assert _left(sandbox) == []


def test_a_slow_job_ends_though_letters_that_stay_become_visible_again_meanwhile(
    page: Page, sandbox: Sandbox, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, receives = BaseClient._make_api_call, Counter[str]()  # type: ignore[attr-defined]

    def slow(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        receives[operation] += 1
        if operation == "ReceiveMessage":
            sandbox.advance(timedelta(seconds=1))  # forty letters take longer than each is hidden
            if receives[operation] > 1000:
                _job(page).stop()
        return real(client, operation, arguments)

    _die(sandbox, 40)
    monkeypatch.setattr(BaseClient, "_make_api_call", slow)
    job = _start(page, text='"number":39', rate="0.2")
    job.join(60)
    assert (job.progress().state, job.progress().count) == ("done", 1)


def test_a_job_that_sqs_gives_no_more_letters_says_so(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _die(sandbox, 30)
    sent.refuses = {"ReceiveMessage": "OverLimit"}
    job = _start(page)
    job.join(30)
    assert job.progress().state == "done"
    assert "30 letters couldn&#39;t be read" in page.html("/jobs/1")
    assert "as many as SQS gives at a time" in page.html("/jobs/1")
    [line] = page.json("/activity")["lines"]
    assert (line["count"], line["outcome"]) == (0, "done, 30 not read")


def test_letters_of_one_id_are_previewed_as_the_job_sends_them(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _die(sandbox, 2)
    body = sandbox.dead_letters(wagons)[0].body
    for _ in range(3):
        sqs.send_batch(wagons.dead_letter_name(STAGE), [sqs.Entry(body)])
    preview = page.json("/dead-letters/wagons/redrive")
    assert (preview["matched"], preview["sent"], preview["same"]) == (5, 2, 3)
    assert "3 more letters have the task and id of one of these, and stay." in page.html("/dead-letters/wagons/redrive")
    job = _start(page)
    job.join(30)
    assert job.progress().count == preview["sent"]
    assert len(_left(sandbox)) == preview["same"]
