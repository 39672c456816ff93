"""Screens and actions at once, in as many threads as the page's pool has: each thing is made once, and told once."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Lock, Thread
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from starlette.testclient import TestClient

from celeriac import Queue, Reject, task
from celeriac.aws import client as runtime_clients
from celeriac.testing import Sandbox
from celeriac_console.stage import clients
from celeriac_console.web.activity import store
from celeriac_console.web.letters.previews import KEPT, Previews
from celeriac_console.web.live.stage import LiveStage
from celeriac_console.web.render import taken
from tests.web.conftest import ORIGIN, Page

THREADS = 8
mines = Queue("mines")


@task(mines)
def page_mines(number: int) -> None:
    """Fail for good."""
    raise Reject(f"mine {number}")


SCREENS = (
    "/", "/queues/mines", "/dead-letters", "/dead-letters/mines", "/dead-letters/mines/redrive", "/tasks",
    "/tasks/page_mines", "/status", "/schedules", "/outbox", "/quarantine", "/activity", "/jobs",
)  # fmt: skip


@pytest.fixture(autouse=True)
def often(sandbox: Sandbox) -> Iterator[None]:
    """Let threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
    del sandbox


def _at_once[T](number: int, do: Callable[[int], T]) -> list[T]:
    """Do something in so many threads, which begin together. Raises the first of their errors."""
    barrier, found, errors = Barrier(number), dict[int, T](), list[BaseException]()

    def run(one: int) -> None:
        try:
            barrier.wait()
            found[one] = do(one)
        except BaseException as error:  # noqa: BLE001 - it is raised below
            errors.append(error)

    threads = [Thread(target=run, args=(one,)) for one in range(number)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if errors:
        raise errors[0]
    return [found[one] for one in range(number)]


def _browsers(page: Page) -> Sequence[TestClient]:
    """A tab for each thread, all of one session."""
    tabs = [TestClient(page.browser.app, base_url=ORIGIN) for _ in range(THREADS)]
    for tab in tabs:
        tab.cookies.update(page.browser.cookies)
    return tabs


def _die(sandbox: Sandbox, count: int) -> None:
    page_mines.enqueue_many({"number": number} for number in range(count))
    sandbox.drain()


def test_eight_tabs_open_every_screen_at_once_and_read_each_part_once(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 12)
    page.html("/")
    alone = Counter(sandbox.calls)
    page.html("/")
    assert sandbox.calls == alone
    sandbox.advance(LiveStage().deploys.every)  # all that was read is old
    tabs = _browsers(page)
    sandbox.calls.clear()

    def look(one: int) -> list[int]:
        return [tabs[one].get(SCREENS[(one + step) % len(SCREENS)]).status_code for step in range(len(SCREENS))]

    assert _at_once(THREADS, look) == [[200] * len(SCREENS)] * THREADS
    assert sandbox.calls["lambda", "ListEventSourceMappings"] == 1
    assert sandbox.calls["cloudwatch", "GetMetricData"] == 1
    assert sandbox.calls["cloudwatch", "DescribeAlarms"] == 1
    assert sandbox.calls["sqs", "ReceiveMessage"] == 2  # of twelve letters


def test_a_read_that_waits_for_aws_lets_the_others_wait_and_read_nothing(
    page: Page, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first reader is held at AWS until the others have come as far as they can."""
    _die(sandbox, 3)
    tabs, come, lock = _browsers(page), list[int](), Lock()
    real = BaseClient._make_api_call  # type: ignore[attr-defined]
    together = Barrier(THREADS)

    def call(self: Any, operation: str, arguments: Any) -> Any:
        if operation == "ListEventSourceMappings":
            with lock:
                come.append(1)
            with suppress(BrokenBarrierError):
                together.wait(0.2)  # all would be here, if each read for itself
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    assert _at_once(THREADS, lambda one: tabs[one].get("/queues/mines").status_code) == [200] * THREADS
    assert len(come) == 1


def test_a_stage_has_one_reader_of_each_part_for_all_threads() -> None:
    for _ in range(20):
        stage = LiveStage()

        def part(_: int, stage: LiveStage = stage) -> object:
            return stage.counts

        assert len({id(each) for each in _at_once(THREADS, part)}) == 1


def test_a_client_is_made_once_and_never_two_at_a_time(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3's session isn't safe for threads."""
    clients.forget()
    made, at_work, lock = Counter[str](), list[int](), Lock()
    real: Any = boto3.session.Session.client
    together = Barrier(2)

    def client(self: Any, service: str, *arguments: Any, **options: Any) -> Any:
        with lock:
            made[service] += 1
            at_work.append(1)
        with suppress(BrokenBarrierError):
            together.wait(0.05)  # two would be here, if both could make one
        try:
            assert together.broken, "two threads make clients at once"
            return real(self, service, *arguments, **options)
        finally:
            with lock:
                at_work.pop()

    monkeypatch.setattr(boto3.session.Session, "client", client)
    services = ("cloudformation", "cloudwatch", "lambda", "sts", "sqs", "dynamodb", "cloudwatch", "sqs")

    def make(one: int) -> Any:
        service: Any = services[one]
        return runtime_clients.client(service) if service in {"sqs", "dynamodb"} else clients.client(service)

    found = _at_once(THREADS, make)
    assert found[1] is found[6]
    assert found[4] is found[7]
    assert made == dict.fromkeys(services, 1)


def test_a_sentence_of_an_action_is_told_once(page: Page) -> None:
    for number in range(50):
        said = [f"done {number}"]

        def take(_: int, said: list[str] = said) -> list[str]:
            return taken(said)

        assert [sentence for told in _at_once(THREADS, take) for sentence in told] == [f"done {number}"]
    page.session.said.append("Only once.")
    tabs = _browsers(page)
    texts = _at_once(THREADS, lambda one: tabs[one].get("/jobs").text)
    assert sum("Only once." in text for text in texts) == 1


def test_previews_of_many_threads_are_each_kept(sandbox: Sandbox) -> None:
    previews = Previews()

    def keep(one: int) -> list[tuple[str, frozenset[str]]]:
        return [(previews.keep(frozenset({f"{one}-{step}"})), frozenset({f"{one}-{step}"})) for step in range(12)]

    kept = [each for some in _at_once(THREADS, keep) for each in some]
    assert len(kept) <= KEPT
    assert len({word for word, _ in kept}) == len(kept)
    assert all(previews.of(word) == ids for word, ids in kept)


def test_of_eight_who_start_a_job_at_once_one_does(page: Page, sandbox: Sandbox) -> None:
    _die(sandbox, 25)
    tabs = _browsers(page)

    def start(one: int) -> int:
        form = {"csrf": page.session.token(), "what": "redrive", "rate": "1000"}
        headers = {"origin": ORIGIN}
        url = "/dead-letters/mines/jobs"
        return tabs[one].post(url, data=form, headers=headers, follow_redirects=False).status_code

    with page.shared.letters.acting("mines"):  # the job can't end before the others have asked
        answers = Counter(_at_once(THREADS, start))
    assert answers == {303: 1, 400: THREADS - 1}
    page.shared.jobs.get("1").join(30)
    assert page.shared.jobs.get("1").progress().count == 25
    assert [line.count for line in store.read()] == [25]
