"""The screens of limits: how they stand, who waits, and what operators set."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from celeriac import Backoff, Breaker, Concurrent, Queue, Rate, task
from celeriac.flow import overrides, rate, rows
from celeriac.flow.overrides import Override
from celeriac.testing import Sandbox
from celeriac_console.web.shown import address
from tests.web.conftest import Opens, Page

dock = Queue("dock", timeout=timedelta(minutes=1))
cranes = Concurrent("cranes", 2)
ships = Rate("ships", 6, per=timedelta(minutes=1), burst=3)
of_line = Rate("of-line", 1, per=timedelta(minutes=1), by="line")
pilot = Breaker("pilot", failures=1, pause=timedelta(minutes=2), on=(ConnectionError,))
tugs = Breaker("tugs", failures=1, pause=timedelta(minutes=2), on=(ConnectionError,), by="line")
fog: list[str] = []
HOSTILE = "<script>alert('1')</script>\"\u202e"


@pytest.fixture(autouse=True)
def _empty() -> None:
    fog.clear()


@task(dock, limits=[ships])
def unload(number: int) -> None: ...


@task(dock, limits=[of_line, cranes])
def load(line: str) -> None: ...


@task(dock, limits=[pilot, tugs], retry=Backoff(base=timedelta(seconds=1), jitter=0, attempts=20))
def steer(line: str) -> None:
    if fog:
        raise ConnectionError("nothing is seen")


def _limits(page: Page) -> dict[str, Any]:
    return {each["row"]["name"]: each for each in page.json("/limits")["limits"]}


def _act(page: Page, name: str, *, status: int = 303, seen: str | None = None, **given: str) -> str:
    """Press the button of a preview."""
    preview = page.json(f"/limits/{name}/change", **given)
    return page.act(
        f"/limits/{name}/change", status=status, seen=preview["seen"] if seen is None else seen, **preview["given"]
    )


def test_every_limit_stands_there(page: Page, sandbox: Sandbox) -> None:
    unload.enqueue_many({"number": number} for number in range(12))
    sandbox.run_once()
    sandbox.run_once()
    found = _limits(page)
    assert found["ships"]["state"] == "used up"
    assert found["ships"]["waiting"] == 9
    assert found["cranes"]["state"] == "free"
    assert found["of-line"]["state"] == "one for each line"
    html = page.html("/limits")
    assert 'href="/limits/ships"' in html
    assert 'href="/queues/dock"' in html


def test_a_limit_says_who_waits_and_until_when(page: Page, sandbox: Sandbox) -> None:
    unload.enqueue_many({"number": number} for number in range(10))
    sandbox.run_once()
    data = page.json("/limits/ships")
    assert data["limit"]["waiting"] == 7
    assert data["numbers"] == {"Starts of the burst in use": "3 of 3"}
    html = page.html("/limits/ships")
    assert "about 7 wait until" in html
    assert 'href="/tasks/unload"' in html
    assert page.browser.get("/limits/nothing").status_code == 404


def test_queue_and_task_lead_to_their_limits(page: Page) -> None:
    for url in ("/queues/dock", "/tasks/load"):
        html = page.html(url)
        assert 'href="/limits/of-line"' in html
        assert 'href="/limits/cranes"' in html
    assert 'href="/limits/ships"' in page.html("/queues/dock")
    assert 'href="/limits/ships"' not in page.html("/tasks/load")


def test_the_status_of_a_task_that_waits_leads_to_its_limit(page: Page, sandbox: Sandbox) -> None:
    handles = unload.enqueue_many({"number": number} for number in range(10))
    sandbox.run_once()
    html = page.html(address("/status", ref=handles[-1].ref))
    assert "waits for the limit ships, until about" in html
    assert 'href="/limits/ships"' in html


def test_a_rate_is_set_after_a_preview_and_reset(page: Page) -> None:
    html = page.html("/limits/ships/change", do="set", value="50/min", burst="2")
    assert "ships is now as declared, 6/min, burst 3. It becomes 50/min, burst 2." in html
    assert overrides.written() == {}
    assert "ships is 50/min, burst 2." in _act(page, "ships", do="set", value="50/min", burst="2")
    override = overrides.now()["ships"]
    assert (override.limit, override.burst) == (50, 2)
    assert override.by == page.shared.identity.who
    assert "50/min, burst 2" in page.html("/limits/ships")
    assert "nothing is set for ships any more" in _act(page, "ships", do="reset")
    assert overrides.written() == {}
    lines = page.json("/activity")["lines"]
    assert [line["what"] for line in lines] == ["limits reset", "limits set"]
    assert lines[1]["where"] == {"limit": "ships", "to": "50/min"}


def test_places_are_set(page: Page) -> None:
    _act(page, "cranes", do="set", value="7")
    assert page.json("/limits/cranes")["limit"]["row"]["standing"]["of"] == 7


def test_a_breaker_is_held_open_and_the_overview_says_so(page: Page, sandbox: Sandbox) -> None:
    assert "open breaker" in page.html("/")
    assert page.json("/")["open_breakers"] == []
    _act(page, "pilot", do="open")
    assert page.json("/")["open_breakers"] == ["pilot"]
    html = page.html("/")
    assert "breaker pilot is open" in html.partition('id="queue-dock"')[2].partition("</tr>")[0]
    assert "breaker pilot is open" in page.html("/queues/dock")
    assert "pilot is closed" in _act(page, "pilot", do="close")
    assert page.json("/")["open_breakers"] == []


def test_a_breaker_that_is_open_for_one_value_is_found_and_closed(page: Page, sandbox: Sandbox) -> None:
    fog.append("thick")
    steer.enqueue("north")
    sandbox.run_once()
    _act(page, "pilot", do="close")
    assert page.json("/")["open_breakers"] == ["tugs"]
    assert page.json("/limits")["opened"] == {"tugs": 1}
    assert "open for 1" in page.html("/limits")
    data = page.json("/limits/tugs")
    [item] = data["items"]
    assert (item["state"], data["found"]) == ("open", 1)
    assert page.json("/limits/tugs", **{"by.line": "north"})["items"] == data["items"]
    assert page.json("/limits/tugs", **{"by.line": "south"})["items"][0]["state"] == "closed"
    _act(page, "tugs", do="close", item=item["item"])
    assert page.json("/")["open_breakers"] == []
    assert "north" not in str(page.json("/activity"))


def test_a_line_is_forgotten_for_one_value(page: Page) -> None:
    key = rows.of_limit("of-line", load.text_of(("line",), {"line": "a"}))
    rate.reserve(key, 60_000_000, 10, free=rows.now(), seen={})
    [item] = page.json("/limits/of-line")["items"]
    assert item["standing"]["waiting"] == 10
    assert "1 item of of-line cleared" in _act(page, "of-line", do="reset", items="yes", item=item["item"])
    assert "promised" not in rows.read(key)


def test_of_two_operators_the_second_is_told(page: Page) -> None:
    _act(page, "ships", do="set", value="5/s")
    refused = _act(page, "ships", status=400, seen="", do="set", value="9/s")
    assert "ships was changed meanwhile: 5/s, set by" in refused
    assert overrides.now()["ships"].limit == 5


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("ships", {"do": "set", "value": "fast"}, "is no rate"),
        ("ships", {"do": "set", "value": "5/s", "burst": "many"}, "is no burst"),
        ("ships", {"do": "set", "value": HOSTILE}, "is no rate"),
        ("ships", {"do": "open"}, "is no Breaker"),
        ("ships", {"do": "reset"}, "nothing is set for ships"),
        ("ships", {}, "choose what to do"),
        ("of-line", {"do": "reset", "items": "yes"}, "one value at a time"),
        ("tugs", {"do": "close", "item": "#limits"}, "no item has such a name"),
        ("nothing", {"do": "set", "value": "5/s"}, "no task has a limit named"),
    ],
)
def test_what_cant_be_done_is_refused_with_its_cure(
    page: Page, name: str, given: dict[str, str], sentence: str
) -> None:
    answer = page.browser.get(f"/limits/{name}/change", params=given)
    assert answer.status_code == 400
    assert sentence in answer.text
    assert "<script>alert" not in answer.text
    assert sentence in page.act(f"/limits/{name}/change", status=400, seen="", **given)
    assert overrides.written() == {}
    assert page.json("/activity")["lines"] == []


def test_what_is_set_for_a_limit_that_is_gone_can_be_removed(page: Page) -> None:
    overrides.put("gone", Override(50, 60_000_000, by=HOSTILE))
    html = page.html("/limits/gone")
    assert "Reset to what is declared" in html
    assert "<script>alert" not in html
    assert "no task names it" in page.html("/limits")
    _act(page, "gone", do="reset")
    assert overrides.written() == {}


def test_who_may_only_look_gets_no_buttons(opened: Opens) -> None:
    page = opened(read_only=True).enter()
    for url in ("/limits", "/limits/ships", "/limits/pilot", "/limits/tugs", "/limits/pilot/change?do=open"):
        html = page.html(url)
        assert 'method="post"' not in html
        assert "/change?" not in html.partition("<footer")[0]
    page.act("/limits/pilot/change", status=403, do="open")
    assert overrides.written() == {}


def test_without_the_right_the_rest_is_shown(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    real = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refuses(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if arguments.get("TableName") == rows.table() or rows.table() in arguments.get("RequestItems", {}):
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuses)
    assert "Can&#39;t be read now: limits." in page.html("/").replace("Can't", "Can&#39;t")
    assert "cranes" in page.html("/tasks/load")
    assert page.browser.get("/limits").status_code == 502


def test_an_application_without_limits_asks_for_none(
    page: Page, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (unload, load, steer):
        monkeypatch.setattr(each, "limits", [])
    from celeriac.declare import registry  # noqa: PLC0415

    monkeypatch.setattr(registry, "tasks", {each.name: each for each in (unload, load, steer)})
    sandbox.calls.clear()
    assert "open breaker" not in page.html("/")
    assert "No task has a limit." in page.html("/limits")
    asked = sandbox.calls["dynamodb", "BatchGetItem"]
    assert asked == 0
