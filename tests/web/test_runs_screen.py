"""The screen of a task's ended runs."""

from datetime import timedelta

import pytest

from celeriac import Backoff, Queue, task
from celeriac.testing import Sandbox
from tests.web.conftest import Page

archive = Queue("web-archive", history=True, batch_size=10)
silent = Queue("web-silent")
failing: list[str] = []
TWICE = Backoff(base=timedelta(seconds=1), jitter=0, attempts=2)


@pytest.fixture(autouse=True)
def _empty() -> None:
    failing.clear()


@task(archive, key="name", retry=TWICE)
def w_file(name: str) -> None:
    if name in failing:
        raise ConnectionError("not now")


@task(silent)
def w_forget() -> None: ...


def test_its_runs_stand_there_the_latest_first(page: Page, sandbox: Sandbox) -> None:
    failing.append("b")
    for name in "ab":
        w_file.enqueue(name=name)
        sandbox.drain()

    found = page.json("/runs/w_file")["runs"]
    assert [run["state"] for run in found] == ["dead", "succeeded"]
    html = page.html("/runs/w_file")
    assert f"/status?ref={found[0]['id']}" in html
    assert "ConnectionError" in html
    assert "celeriac --stage test runs w_file" in html
    assert 'href="/runs/w_file"' in page.html("/tasks/w_file")


def test_filters_and_earlier_pages_are_in_the_address(page: Page, sandbox: Sandbox) -> None:
    for ten in range(6):
        w_file.enqueue_many([{"name": f"n-{ten}-{number}"} for number in range(10)])
        sandbox.drain()
        sandbox.advance(timedelta(seconds=1))
    first = page.json("/runs/w_file")
    assert len(first["runs"]) == 50
    assert first["earlier"]
    rest = page.json("/runs/w_file", until=first["earlier"])
    assert len({run["id"] for run in first["runs"] + rest["runs"]}) == 60
    assert page.json("/runs/w_file", state="dead")["runs"] == []
    assert "No run has ended so." in page.html("/runs/w_file", state="dead")
    assert "runs w_file --state dead" in page.html("/runs/w_file", state="dead")


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("/runs/w_forget", 400, "keeps no history: declare it with history=True"),
        ("/runs/w_file?state=late", 400, "choose how they ended: succeeded, dead, cancelled"),
        ("/runs/w_file?since=yesterday", 400, "is no time"),
        ("/runs/unknown", 404, "No task is named"),
    ],
)
def test_what_can_not_be_shown_is_said(page: Page, url: str, status: int, said: str) -> None:
    answer = page.browser.get(url)
    assert answer.status_code == status
    assert said in answer.text


def test_a_task_without_a_history_leads_to_no_list(page: Page) -> None:
    assert "/runs/" not in page.html("/tasks/w_forget")
