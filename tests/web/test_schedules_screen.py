"""The screen of schedules: recurring tasks with their next runs, and delayed tasks that are run or cancelled."""

import re
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Queue, Task, task
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.model import names
from celeriac.testing import Sandbox
from celeriac_console.web.screens import schedules
from tests.conftest import STAGE
from tests.web.conftest import Opens, Page

letterbox = Queue("letterbox")

TWO_HOURS = timedelta(hours=2)


@pytest.fixture(autouse=True)
def greet(monkeypatch: pytest.MonkeyPatch) -> Task[..., Any, Any]:
    """A task that needs nothing from outside."""

    def greet(user_id: int) -> int:
        return user_id

    made = task(letterbox, key="user_id", name="greet")(greet)
    monkeypatch.setitem(registry.tasks, "greet", made)
    return made


@pytest.fixture
def nightly(monkeypatch: pytest.MonkeyPatch) -> Task[..., Any, Any]:
    """A recurring task."""
    made = task(letterbox, name="nightly", cron="30 3 * * 1-5", timezone="Europe/Berlin")(lambda: None)
    monkeypatch.setitem(registry.tasks, "nightly", made)
    return made


def test_a_recurring_task_shows_its_next_runs_in_both_times(page: Page, nightly: Any) -> None:
    [one] = [one for one in page.json("/schedules")["recurring"] if one["task"] == "nightly"]
    assert one["next"][:2] == ["2026-01-01T02:30:00Z", "2026-01-02T02:30:00Z"]
    assert one["local"][0] == "Thu 2026-01-01 03:30"
    assert "Europe/Berlin" in page.html("/schedules")


def test_a_recurring_task_runs_now(sandbox: Sandbox, page: Page, nightly: Any) -> None:
    assert "nightly was sent." in page.act("/schedules/run/nightly")
    page.act("/schedules/run/greet", status=400)
    page.act("/schedules/run/gone", status=404)


def test_a_rate_has_no_next_run_that_is_known(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    often = task(letterbox, name="often", cron="rate(5 minutes)")(lambda: None)
    monkeypatch.setitem(registry.tasks, "often", often)
    assert "counted from its deploy" in page.html("/schedules")


def test_delayed_tasks_are_listed_in_pages(sandbox: Sandbox, page: Page, greet: Any) -> None:
    greet.options(delay=TWO_HOURS).enqueue_many([{"user_id": number} for number in range(30)])
    before = sandbox.calls.copy()
    first = page.json("/schedules")
    assert len(first["delayed"]) == schedules.PAGE
    made = sandbox.calls - before
    read = sum(number for (_, operation), number in made.items() if operation in {"GetSchedule", "get_schedule"})
    assert schedules.PAGE <= read <= schedules.PAGE + 8
    second = page.json("/schedules", page=first["next"])
    assert second["next"] is None
    assert len({one["id"] for one in first["delayed"] + second["delayed"]}) == 30


def test_one_is_cancelled_and_one_runs_now(sandbox: Sandbox, page: Page, greet: Any) -> None:
    handles = [greet.options(delay=TWO_HOURS).enqueue(user_id=number) for number in range(2)]
    by_id = {one["id"]: one["name"] for one in page.json("/schedules")["delayed"]}
    assert "1 delayed task cancelled." in page.act("/delayed/cancel", names=by_id[handles[0].id])
    assert "1 delayed task sent." in page.act("/delayed/run-now", names=by_id[handles[1].id])
    sandbox.drain()
    assert [handle.status().state for handle in handles] == ["cancelled", "succeeded"]
    assert page.json("/schedules")["delayed"] == []
    assert [line["what"] for line in page.json("/activity")["lines"]] == ["delayed run-now", "delayed cancel"]


def test_a_filter_is_previewed_and_only_what_was_shown_is_done(page: Page, greet: Any) -> None:
    greet.options(delay=TWO_HOURS).enqueue_many([{"user_id": number} for number in range(3)])
    seen = page.json("/delayed/choose", do="cancel", task="greet", until="3h")
    assert seen["counts"] == [{"queue": "letterbox", "task": "greet", "number": 3}]
    later = greet.options(delay=TWO_HOURS).enqueue(user_id=9)
    html = page.html("/delayed/choose", do="cancel", task="greet", until="3h")
    assert "4 delayed tasks will be cancelled" in html
    assert "3 delayed tasks cancelled." in page.act("/delayed/cancel", task="greet", names=" ".join(seen["names"]))
    assert later.status().state == "queued"
    [line] = page.json("/activity")["lines"]
    assert (line["count"], line["where"]) == (3, {"task": "greet"})


def test_a_rare_task_ends_a_page_before_all_schedules_were_read(
    page: Page, greet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "MOST_LOOKED", 8)
    greet.options(delay=TWO_HOURS).enqueue_many([{"user_id": number} for number in range(60)])
    start: str | None = ""
    pages = 0
    while start is not None:
        seen = page.json("/schedules", task="rare", page=start)
        assert seen["delayed"] == []
        start, pages = seen["next"], pages + 1
    assert pages > 1


@pytest.mark.parametrize(
    ("url", "query", "status"),
    [
        ("/schedules", {"until": "soon"}, 400),
        ("/schedules", {"queue": "<b>"}, 404),
        ("/delayed/choose", {"do": "cancel"}, 400),
        ("/delayed/choose", {"do": "<script>", "task": "greet"}, 400),
    ],
)
def test_a_wrong_filter_is_told(page: Page, url: str, query: dict[str, str], status: int) -> None:
    answer = page.browser.get(url, params=query)
    assert answer.status_code == status
    assert "<b>" not in answer.text.partition('role="alert"')[2]


def test_a_schedule_of_others_is_shown_and_can_only_be_cancelled(sandbox: Sandbox, page: Page, greet: Any) -> None:
    greet.options(delay=TWO_HOURS).enqueue(user_id=1)
    scheduler = client("scheduler")
    group = names.schedule_group(STAGE)
    [name] = [one["Name"] for one in scheduler.list_schedules(GroupName=group)["Schedules"]]
    found = scheduler.get_schedule(Name=name, GroupName=group)
    target = dict(found["Target"]) | {"Input": '{"<script>alert(1)</script>'}
    scheduler.create_schedule(
        Name="letterbox.odd",
        GroupName=group,
        ScheduleExpression=found["ScheduleExpression"],
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target,  # type: ignore[arg-type]  # as it was read
    )
    html = page.html("/schedules")
    assert "it sends no task&#39;s message" in html
    assert "<script>alert" not in html
    assert "1 problem, the first: letterbox.odd" in page.act("/delayed/run-now", names="letterbox.odd")
    page.act("/delayed/cancel", names="letterbox.odd")
    assert "letterbox.odd" not in page.html("/schedules")


def test_read_only_offers_nothing(opened: Opens, greet: Any, nightly: Any) -> None:
    greet.options(delay=TWO_HOURS).enqueue(user_id=1)
    page = opened(read_only=True).enter()
    assert not re.search(r"<form[^>]*post", page.html("/schedules", task="greet"))
    for url in ("/delayed/cancel", "/delayed/run-now", "/schedules/run/nightly"):
        page.act(url, status=403, names="x")
