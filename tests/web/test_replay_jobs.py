"""Replays of the page: however they are paused, stopped or refused by AWS, no event is lost, and none sent twice."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import msgspec
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

import celeriac
from celeriac import Queue, task
from celeriac.aws import pause
from celeriac.testing import Sandbox
from celeriac_console.outbox import replay
from celeriac_console.web.jobs.job import Job
from tests.web.conftest import Opens, Page

post = Queue("stamps")
EVENTS, PAGE = 50, 20
"""Three pages of rows. A page ends in the middle of an aggregate, of which there are three."""
AT = {"Scan": 2, "SendMessageBatch": 4, "TransactWriteItems": 2}
"""At which call a login expires: in the middle of the events."""
PAUSED = frozenset({"paused"})


@task(post, on="stamped.letter")
def page_stamps(number: int) -> None: ...


@dataclass
class Sent:
    """Stands before AWS: sees each event that is sent, and may act before a call."""

    numbers: list[int] = field(default_factory=list)
    before: Callable[[str], object] = lambda operation: None
    lock: Lock = field(default_factory=Lock)

    def clear(self) -> None:
        """Forget what was sent."""
        self.numbers.clear()


@pytest.fixture
def sent(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """What is sent from now on."""
    monkeypatch.setattr(replay, "PAGE", PAGE)
    real, found = BaseClient._make_api_call, Sent()  # type: ignore[attr-defined]

    def seen(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        found.before(operation)
        if operation == "SendMessageBatch":
            with found.lock:
                found.numbers += [_number(entry["MessageBody"]) for entry in arguments["Entries"]]
        return real(client, operation, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", seen)
        yield found


def _number(body: str) -> int:
    return int(msgspec.json.decode(body)["args"]["number"])


def _emit(sandbox: Sandbox, count: int = EVENTS) -> None:
    for first in range(0, count, 25):
        with celeriac.transaction() as tx:
            for number in range(first, first + 25):
                tx.emit("stamped.letter", {"number": number}, aggregate=f"box-{number % 3}")
    sandbox.drain()


def _preview(page: Page, **form: Any) -> str:
    page.act("/outbox/preview", **({"type": "stamped.*", "since": "2h"} | form))
    job = page.shared.jobs.all()[0]
    job.join(30)
    return str(job.number)


def _replay(page: Page, **form: Any) -> Job:
    page.act("/outbox/replay", job=_preview(page), **form)
    return page.shared.jobs.all()[0]


def _at(wanted: str, page: Page, deed: Callable[[Job], None]) -> Callable[[str], None]:
    """Do it to the newest job before each call of the wanted operation."""

    def act(operation: str) -> None:
        if operation == wanted and (jobs := page.shared.jobs.all()):
            deed(jobs[0])

    return act


def _is_in_order(numbers: list[int]) -> bool:
    return all((mine := [number for number in numbers if number % 3 == box]) == sorted(mine) for box in range(3))


def test_a_replay_is_previewed_with_counts_then_run_and_noted(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _emit(sandbox, 25)
    sent.clear()
    number = _preview(page)
    shown = page.json(f"/jobs/{number}")["job"]
    assert (shown["what"], shown["state"], shown["count"]) == ("preview", "done", 25)
    assert shown["work"]["parts"] == [{"name": "stamped.letter", "about": "", "count": 25}]
    assert "Replay 25 events" in page.html(f"/jobs/{number}")
    assert sent.numbers == []
    assert page.json("/activity")["lines"] == []
    page.act("/outbox/replay", job=number, rate="")
    page.shared.jobs.get("2").join(30)
    assert Counter(sent.numbers) == Counter(range(25))
    assert page.json("/jobs/2")["job"]["count"] == 25
    assert "outbox replay --type" in page.html("/jobs/2")
    [line] = page.json("/activity")["lines"]
    assert (line["what"], line["count"], line["outcome"]) == ("outbox replay", 25, "done")
    assert "/jobs/2" in page.html("/outbox")


def test_a_replay_that_is_paused_and_resumed_sends_each_event_once(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _emit(sandbox)
    sent.clear()
    sent.before = _at("SendMessageBatch", page, Job.pause)
    job = _replay(page)
    for _ in range(2):  # each page is interrupted
        assert job.wait_for(PAUSED, 30)
        first = len(sent.numbers)
        assert 0 < first < EVENTS
        assert Counter(sent.numbers).most_common(1)[0][1] == 1
        shown = page.json(f"/jobs/{job.number}")["job"]
        assert (shown["state"], shown["count"]) == ("paused", first)
        page.act(f"/jobs/{job.number}/resume")
    job.wait_for(PAUSED, 30)
    page.act(f"/jobs/{job.number}/resume")
    job.join(30)
    assert job.progress().state == "done"
    assert Counter(sent.numbers) == Counter(range(EVENTS))
    assert _is_in_order(sent.numbers)
    [line] = page.json("/activity")["lines"]
    assert (line["count"], line["outcome"]) == (EVENTS, "done")


def test_a_replay_that_is_stopped_leaves_the_rest_to_another_one(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _emit(sandbox)
    sent.clear()
    sent.before = _at("SendMessageBatch", page, Job.stop)
    job = _replay(page)
    job.join(30)
    shown = job.progress()
    assert shown.state == "stopped"
    assert 0 < shown.count == len(sent.numbers) < EVENTS
    [line] = page.json("/activity")["lines"]
    assert (line["count"], line["outcome"]) == (shown.count, "stopped")
    sent.before = lambda operation: None
    again = _replay(page)
    again.join(30)
    assert again.progress().count == EVENTS
    assert set(sent.numbers) == set(range(EVENTS))
    assert max(Counter(sent.numbers).values()) == 2


def test_a_paused_replay_can_be_stopped(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _emit(sandbox)
    sent.before = _at("SendMessageBatch", page, Job.pause)
    job = _replay(page)
    assert job.wait_for(PAUSED, 30)
    page.act(f"/jobs/{job.number}/stop")
    job.join(30)
    assert job.progress().state == "stopped"


@pytest.mark.parametrize("expires_at", ["Scan", "SendMessageBatch", "TransactWriteItems"])
def test_a_replay_whose_login_expires_waits_and_goes_on(
    page: Page, sandbox: Sandbox, sent: Sent, expires_at: str
) -> None:
    _emit(sandbox)
    sent.clear()
    calls = Counter[str]()
    has_expired = False

    def expire(name: str) -> None:
        nonlocal has_expired
        calls[name] += 1
        has_expired = has_expired or (name == expires_at and calls[name] == AT[expires_at])
        if has_expired and page.shared.jobs.all()[0].progress().what == "replay":
            raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "by the test"}}, name)

    number = _preview(page)
    sent.before = expire
    page.act("/outbox/replay", job=number)
    job = page.shared.jobs.all()[0]
    job.wait_for(PAUSED, 60)
    shown = job.progress()
    assert shown.state == "paused"
    assert "log in again" in page.html(f"/jobs/{job.number}")
    has_expired, calls[expires_at] = False, 100
    page.act(f"/jobs/{job.number}/resume")
    job.join(30)
    assert job.progress().state == "done"
    assert Counter(sent.numbers) == Counter(range(EVENTS))
    assert job.progress().count == EVENTS
    [line] = page.json("/activity")["lines"]
    assert line["outcome"] == (
        "done" + {"SendMessageBatch": ", 10 not marked", "TransactWriteItems": ", 20 not marked"}.get(expires_at, "")
    )


def test_a_replay_keeps_its_rate(page: Page, sandbox: Sandbox, sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    _emit(sandbox, 50)
    waited: list[float] = []
    monkeypatch.setattr(pause, "wait", waited.append)
    job = _replay(page, rate="2")
    job.join(30)
    assert job.progress().count == 50
    # Ten events are published at once, five seconds after the last ones.
    assert max(waited) <= 50 / 2
    assert len(waited) == 4
    assert "at most 2/s" in page.html(f"/jobs/{job.number}")
    assert "--rate 2" in page.html(f"/jobs/{job.number}")


def test_only_what_a_finished_preview_has_counted_is_published(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _emit(sandbox)
    sent.clear()
    sent.before = _at("Scan", page, Job.stop)
    page.act("/outbox/preview", type="stamped.*", since="2h")
    job = page.shared.jobs.get("1")
    job.join(30)
    sent.before = lambda operation: None
    assert "only what a finished preview" in page.act("/outbox/replay", status=400, job="1")
    page.act("/outbox/replay", status=404, job="7")
    number = _preview(page, type="nothing.*")
    page.act("/outbox/replay", status=400, job=number)
    assert "no rate" in page.act("/outbox/replay", status=400, job=_preview(page), rate="fast")
    assert sent.numbers == []
    assert page.json("/activity")["lines"] == []


def test_one_works_on_the_outbox_at_a_time(page: Page, sandbox: Sandbox, sent: Sent) -> None:
    _emit(sandbox)
    sent.before = _at("SendMessageBatch", page, Job.pause)
    job = _replay(page)
    assert job.wait_for(PAUSED, 30)
    told = page.act("/outbox/preview", status=400, type="*", since="2h")
    assert f"job {job.number} works on the outbox" in told
    job.stop()
    job.join(30)


def test_who_may_only_look_begins_and_stops_none(opened: Opens, sandbox: Sandbox) -> None:
    page = opened(read_only=True).enter()
    for url in ("/outbox/preview", "/outbox/replay", "/jobs/1/stop"):
        page.act(url, status=403)
