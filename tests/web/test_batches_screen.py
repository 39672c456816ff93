"""The screens of batches: how their members stand, where the dead ones are, and what operators do."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Backoff, Queue, Reject, task
from celeriac.flow.batches import root
from celeriac.testing import Sandbox, WorkerDied
from celeriac_console.web.shown import address
from tests.web.conftest import Opens, Page

bricks = Queue("wb-bricks", batch_size=10)
tiles = Queue("wb-tiles")
boss = Queue("wb-boss")
ONCE = Backoff(attempts=1)
HOSTILE = "<script>alert('1')</script>\"\u202e#/"
broken: set[int] = set()
ran: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    broken.clear()
    ran.clear()


@task(bricks, retry=ONCE)
def wb_lay(number: int) -> None:
    if number in broken:
        raise Reject("broken")


@task(tiles, retry=ONCE)
def wb_tile(number: int) -> None:
    if number in broken:
        raise Reject("broken")


@task(boss)
def wb_then() -> None:
    ran.append("then")


@task(boss)
def wb_dead() -> None:
    ran.append("dead")


def _fill(key: str, count: int, tile: int | None = None) -> str:
    with celeriac.batch(then=wb_then.bind(), dead=wb_dead.bind(), key=key) as batch:
        batch.enqueue_many(wb_lay, ({"number": number} for number in range(count)))
        if tile is not None:
            batch.enqueue(wb_tile, tile)
    return batch.id


def _opened(sandbox: Sandbox, key: str) -> str:
    """A batch whose producer has died in its block."""
    with suppress(WorkerDied), sandbox.worker():
        sandbox.crash_at(2, after=True)
        _fill(key, 1)
    return f"wb-boss#wb_then:{key}"


def _one(page: Page, batch: str, **query: Any) -> Any:
    return page.json("/batches/one", id=batch, **query)


def test_batches_that_have_not_ended_stand_there(page: Page, sandbox: Sandbox) -> None:
    assert "Every batch has ended, or none was begun." in page.html("/batches")
    broken.add(1)
    one = _fill("one", 4)
    sandbox.drain()
    other, opened_ = _fill("other", 2), _opened(sandbox, HOSTILE)
    found = {each["id"]: each for each in page.json("/batches")["batches"]}
    assert set(found) == {one, other, opened_}
    assert [found[one][name] for name in ("state", "total", "succeeded", "dead", "missing", "share")] == [
        "dead", 4, 3, 1, 0, 0.75,
    ]  # fmt: skip
    assert found[opened_]["share"] is None
    html = page.html("/batches")
    assert f'href="{address("/batches/one", id=one)}"'.replace("&", "&amp;") in html
    assert "<script>alert" not in html
    assert "No batch is late." in page.html("/batches", late="yes")
    sandbox.advance(timedelta(hours=2))
    assert [each["id"] for each in page.json("/batches", late="yes")["batches"]] == [opened_]
    html = page.html("/batches/one", id=opened_)
    assert "Give it up" in html
    assert "<script>alert" not in html


def test_a_batch_leads_to_the_letters_of_its_dead_members(page: Page, sandbox: Sandbox) -> None:
    broken.update({1, 2, 9})
    batch = _fill("k", 4, tile=9)
    sandbox.drain()
    data = _one(page, batch)
    assert [data["batch"][name] for name in ("total", "succeeded", "dead", "missing")] == [5, 2, 3, 0]
    assert "`dead` was sent." in [each["said"] for each in data["hints"]]
    redrive = f"celeriac --stage test batches repair '{batch}' --redrive"
    assert redrive in [each["command"] for each in data["hints"]]
    assert [(each["index"], each["queue"]) for each in data["members"]] == [
        (1, "wb-bricks"),
        (2, "wb-bricks"),
        (4, "wb-tiles"),
    ]
    html = page.html("/batches/one", id=batch)
    assert '<progress value="0.4" max="1"' in html
    for member in data["members"]:
        assert f'href="{member["letter"]}"' in html
        assert page.json(member["letter"])["reason"] == "rejected"
        assert "dead" in page.html(member["status"])
    assert f"batches show &#39;{batch}&#39;" in html


def test_many_dead_members_have_pages(page: Page, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    broken.update(range(5))
    batch = _fill("k", 5)
    sandbox.drain()
    monkeypatch.setattr("celeriac_console.web.screens.batches.MOST", 2)
    data = _one(page, batch)
    assert [each["index"] for each in data["members"]] == [0, 1]
    data = page.browser.get(f"{data['next']}&format=json").json()
    assert [each["index"] for each in data["members"]] == [2, 3]
    assert page.browser.get(f"{data['first']}&format=json").json()["members"][0]["index"] == 0
    last = page.browser.get(f"{data['next']}&format=json").json()
    assert ([each["index"] for each in last["members"]], last["next"]) == ([4], "")


def test_dead_members_are_redriven_by_a_job(page: Page, sandbox: Sandbox) -> None:
    broken.add(1)
    batch = _fill("k", 3)
    wb_lay.enqueue(1)
    sandbox.drain()
    broken.clear()
    html = page.act("/batches/redrive", id=batch, rate="")
    assert "It goes on when you close this page." in html
    page.shared.jobs.get("1").join(30)
    shown = page.json("/jobs/1")["job"]
    assert (shown["state"], shown["count"]) == ("done", 1)
    assert shown["work"]["command"] == f"celeriac --stage test batches repair '{batch}' --redrive"
    sandbox.drain()
    assert ran == ["dead", "then"]
    assert len(sandbox.dead_letters(bricks)) == 1
    [line] = page.json("/activity")["lines"]
    assert (line["what"], line["where"]) == ("dlq redrive", {"queue": "wb-bricks", "batch": batch})
    assert "All members have succeeded" in page.html("/batches/one", id=batch)
    assert "has ended" in page.act("/batches/redrive", status=400, id=batch, rate="")


def test_members_of_several_queues_have_a_job_each(page: Page, sandbox: Sandbox) -> None:
    broken.update({0, 9})
    batch = _fill("k", 1, tile=9)
    sandbox.drain()
    broken.clear()
    assert "2 jobs go on" in page.act("/batches/redrive", id=batch, rate="50")
    for number in ("1", "2"):
        page.shared.jobs.get(number).join(30)
    sandbox.drain()
    assert ran == ["dead", "then"]


def test_a_job_that_works_on_a_queue_keeps_others_away(page: Page, sandbox: Sandbox) -> None:
    broken.update({0, 9})
    batch = _fill("k", 1, tile=9)
    sandbox.drain()
    with page.shared.letters.job("wb-tiles"):
        page.act("/dead-letters/wb-tiles/jobs", what="redrive", rate="")
        refused = page.act("/batches/redrive", status=400, id=batch, rate="")
        assert "job 1 works on wb-tiles" in refused
        assert len(page.shared.jobs.all()) == 1
    page.shared.jobs.get("1").join(30)


def test_a_callback_that_is_due_is_sent(page: Page, sandbox: Sandbox) -> None:
    with suppress(WorkerDied), sandbox.worker():
        sandbox.crash_at(3, after=True)
        _fill("k", 1)
    batch = "wb-boss#wb_then:k"
    while sandbox.run_once():
        pass
    assert not ran
    assert "Send what is due" in page.html("/batches/one", id=batch)
    assert "`then` was sent." in page.act("/batches/repair", id=batch)
    sandbox.drain()
    assert ran == ["then"]
    [line] = page.json("/activity")["lines"]
    assert (line["what"], line["where"], line["outcome"]) == ("batches repair", {"batch": batch}, "done")
    html = page.html("/batches/one", id=batch)
    assert 'method="post"' not in html


def test_a_batch_that_was_never_complete_is_given_up(page: Page, sandbox: Sandbox) -> None:
    batch = _opened(sandbox, "k")
    for what in ("repair", "redrive"):
        assert "t complete, so no callback is due" in page.act(f"/batches/{what}", status=400, id=batch, rate="")
    assert "is given up: it is late no more" in page.act("/batches/give-up", id=batch)
    assert page.json("/batches")["batches"] == []
    assert "nobody waits for" in page.act("/batches/give-up", status=400, id=batch)
    assert page.json("/activity")["lines"][0]["where"] == {"batch": batch, "how": "give up"}
    assert "Give it up" not in page.html("/batches/one", id=batch)


def test_who_may_only_look_gets_no_buttons(opened: Opens, sandbox: Sandbox) -> None:
    broken.add(0)
    dead = _fill("k", 1)
    sandbox.drain()
    open_ = _opened(sandbox, "o")
    page = opened(read_only=True).enter()
    for batch in (dead, open_):
        assert 'method="post"' not in page.html("/batches/one", id=batch)
    for what in ("repair", "redrive", "give-up"):
        page.act(f"/batches/{what}", status=403, id=open_)
    assert page.shared.jobs.all() == []
    assert [one for shard in root.shards(root.RUNNING) for one in root.listed(shard, 9)]


@pytest.mark.parametrize("given", ["", "x", "q#x", "x" * 900, HOSTILE])
def test_what_is_no_batch_is_refused(page: Page, given: str) -> None:
    answer = page.browser.get("/batches/one", params={"id": given})
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text
    for what in ("repair", "redrive", "give-up"):
        page.act(f"/batches/{what}", status=400, id=given)
    assert page.json("/activity")["lines"] == []


def test_a_batch_that_waits_for_nobody_is_told_so(page: Page, sandbox: Sandbox) -> None:
    broken.add(0)
    batch = _fill("k", 1)
    sandbox.drain()
    assert "No callback is due: nothing was sent." in page.act("/batches/repair", id=batch)
    assert page.json("/activity")["lines"][0]["outcome"] == "nothing was due"
    assert "If its members succeed after all" in page.act("/batches/give-up", id=batch)
    assert page.json("/batches")["batches"] == []
