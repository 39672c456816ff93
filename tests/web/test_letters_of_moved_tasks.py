"""Letters of a task that lives on another queue now: the page says so, and sends them there or leaves them."""

from typing import Any

import msgspec
import pytest

from celeriac import Context, Queue, task
from celeriac.testing import Sandbox
from tests.web.conftest import Opens, Page

attic, cellar = Queue("attic"), Queue("cellar")
stored: list[tuple[int, str]] = []
URL = "/dead-letters/attic"


@pytest.fixture(autouse=True)
def _empty() -> None:
    stored.clear()


@task(cellar)
def page_stores(ctx: Context, number: int) -> None:
    """It has moved from the attic to the cellar."""
    stored.append((number, ctx.id))


@task(attic)
def page_airs(number: int) -> None:
    """It has stayed, and fails."""
    raise LookupError(number)


def _died(opened: Opens, sandbox: Sandbox, *numbers: int) -> Page:
    """Messages of the time when the task was on the attic. The page is opened when they are dead, long after."""
    for number in numbers:
        body = {"task": "page_stores", "id": f"box-{number}", "args": {"number": number}, "v": 1}
        sandbox.send(attic, msgspec.json.encode(body).decode())
    page_airs.enqueue(1)
    sandbox.drain()
    return opened().enter()


def _letter(page: Page, task: str = "page_stores") -> str:
    groups = [group for group in page.json(URL)["groups"] if group["task"] == task]
    [letter, *_] = page.json(URL, kind=groups[0]["kind"])["letters"]
    return f"{URL}/letter/{letter['message_id']}"


def test_a_letter_says_where_its_task_lives_and_goes_there_with_its_id(opened: Opens, sandbox: Sandbox) -> None:
    page = _died(opened, sandbox, 7)
    url = _letter(page)
    assert page.json(url)["lives_on"] == "cellar"
    html = page.html(url)
    assert "Send it unchanged to cellar" in html
    assert "Redrive unchanged" not in html
    said = page.act(f"{url}/redrive", to="cellar")
    assert "page_stores was sent to cellar." in said
    sandbox.drain()
    assert stored == [(7, "box-7")]
    assert [letter.task for letter in sandbox.dead_letters(attic)] == ["page_airs"]
    [line] = page.json("/activity")["lines"]
    assert line["where"] == {"queue": "attic", "task": "page_stores", "id": "box-7", "to": "cellar"}


def test_it_goes_there_with_other_arguments_too(opened: Opens, sandbox: Sandbox) -> None:
    page = _died(opened, sandbox, 7)
    url = _letter(page)
    html = page.html(url, arguments="show")
    assert "Send it to cellar with these arguments" in html
    form: dict[str, Any] = {"edited": "yes", "to": "cellar"}
    refused = page.act(f"{url}/redrive", status=422, **(form | {"arg.number": "many"}))
    assert "Send it to cellar with these arguments" in refused
    page.act(f"{url}/redrive", **(form | {"arg.number": "8"}))
    sandbox.drain()
    assert stored == [(8, "box-7")]


@pytest.mark.parametrize(("to", "why"), [("", "redrive it with --to cellar"), ("nowhere", "nowhere")])
def test_a_letter_that_cant_be_sent_there_stays(opened: Opens, sandbox: Sandbox, to: str, why: str) -> None:
    page = _died(opened, sandbox, 7)
    assert why in page.act(f"{_letter(page)}/redrive", status=400, to=to)
    assert len(sandbox.dead_letters(attic)) == 2
    assert "Redrive unchanged" in page.html(_letter(page, "page_airs"))


def test_a_redrive_of_all_leaves_them_and_leads_to_their_queue(opened: Opens, sandbox: Sandbox) -> None:
    page = _died(opened, sandbox, 1, 2, 3)
    preview = page.json(f"{URL}/redrive")
    assert (preview["matched"], preview["sent"]) == (4, 1)
    [moved] = preview["moved"]
    assert (moved["task"], moved["queue"], moved["count"]) == ("page_stores", "cellar", 3)
    html = page.html(f"{URL}/redrive")
    assert "This will redrive <b>1 letter</b>" in html
    assert "3 letters of page_stores stay" in html
    page.act(f"{URL}/jobs", what="redrive")
    job = page.shared.jobs.get("1")
    job.join(30)
    assert job.progress().count == 1
    assert len(job.progress().work.problems) == 3
    assert page.json("/activity")["lines"][0]["outcome"] == "done, 3 not sent"
    there = page.json(f"{URL}/redrive", task="page_stores", to="cellar")
    assert (there["to"], there["sent"], there["moved"]) == ("cellar", 3, [])
    html = page.html(moved["url"])
    assert "3 letters</b> to cellar" in html
    assert "--to cellar" in html
    page.act(f"{URL}/jobs", what="redrive", task="page_stores", to="cellar")
    job = page.shared.jobs.get("2")
    job.join(30)
    assert job.progress().count == 3
    assert page.json("/activity")["lines"][0]["where"] == {"queue": "attic", "task": "page_stores", "to": "cellar"}
    sandbox.drain()
    assert sorted(stored) == [(number, f"box-{number}") for number in (1, 2, 3)]


def test_a_redrive_of_letters_that_werent_among_the_first_is_offered(opened: Opens, sandbox: Sandbox) -> None:
    page = _died(opened, sandbox, *range(8))
    assert page.json(f"{URL}/redrive", most=1)["read"] == 1
    other = page.html(f"{URL}/redrive", most=1, error="nothing like it")
    assert "The redrive looks at all of them, and sends those that match." in other
    assert "Start the redrive" in other
    moved = page.html(f"{URL}/redrive", most=1, task="page_stores", error="nothing like it")
    assert "Letters of page_stores stay" in moved
    assert "Start the redrive" not in moved
    there = page.html(f"{URL}/redrive", most=1, task="page_stores", to="cellar", error="nothing like it")
    assert "sends those that match to cellar" in there
    assert "Start the redrive" in there
