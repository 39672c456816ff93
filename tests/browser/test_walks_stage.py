"""An operator at work: pause, quarantine, enqueue; and who may only look."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac.consume import quarantine
from celeriac.declare import registry
from celeriac.testing import Sandbox
from celeriac_console.stage.clients import client
from tests.browser import demo
from tests.browser.conftest import Opens, serious, wide


def _fine(tab: Any) -> None:
    assert serious(tab) == [], tab.url
    assert wide(tab) <= 0, tab.url


@pytest.fixture
def consumers(sandbox: Sandbox) -> Iterator[dict[str, dict[str, Any]]]:
    """The consumer of each queue, as Lambda describes it. With a real mapping, moto would poll the queue."""
    found: dict[str, dict[str, Any]] = {
        name: {
            "UUID": name,
            "EventSourceArn": f"arn:aws:sqs:eu-west-1:123456789012:celeriac-test--{name}",
            "State": "Enabled",
        }
        for name in registry.queues()
    }

    def listed(params: dict[str, Any], **_: object) -> Any:
        source = params["query_string"].get("EventSourceArn")
        mine = [each for each in found.values() if source in {None, each["EventSourceArn"]}]
        return type("Answer", (), {"status_code": 200}), {"EventSourceMappings": mine}

    def switched(params: dict[str, Any], **_: object) -> Any:
        mapping = found[params["url_path"].rpartition("/")[2]]
        mapping["State"] = "Enabling" if json.loads(params["body"])["Enabled"] else "Disabling"
        return type("Answer", (), {"status_code": 202}), mapping

    events = client("lambda").meta.events
    events.register("before-call.lambda.ListEventSourceMappings", listed)
    events.register("before-call.lambda.UpdateEventSourceMapping", switched)
    yield found
    events.unregister("before-call.lambda.ListEventSourceMappings", listed)
    events.unregister("before-call.lambda.UpdateEventSourceMapping", switched)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_queue_is_paused_and_resumed(opens: Opens, consumers: dict[str, Any], width: int) -> None:
    tab = opens(width=width)
    assert "are well" in tab.inner_text(".verdict")
    tab.get_by_role("button", name="Pause guests").click()
    tab.get_by_text("guests is paused").wait_for()
    assert consumers["guests"]["State"] == "Disabling"
    _fine(tab)
    tab.get_by_role("link", name="Overview").click()
    first = tab.locator("tr[data-row]").first
    assert "paused" in first.inner_text()
    assert first.get_by_role("link", name="guests", exact=True).is_visible()
    _fine(tab)
    tab.get_by_role("button", name="Resume guests").click()
    tab.get_by_text("guests is resumed").wait_for()
    assert consumers["guests"]["State"] == "Enabling"
    tab.get_by_role("link", name="Activity").click()
    assert tab.get_by_role("rowheader").all_inner_texts() == ["resume", "pause"]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_task_goes_into_quarantine_and_out_again(opens: Opens, sandbox: Sandbox, width: int) -> None:
    tab = opens(width=width)
    tab.get_by_role("link", name="Quarantine", exact=True).click()
    tab.get_by_label("A task").select_option("greet_guest")
    tab.get_by_role("button", name="Put in quarantine").click()
    tab.get_by_text("task:greet_guest is in quarantine.").wait_for()
    assert quarantine.entries() == {"task:greet_guest"}
    _fine(tab)
    tab.goto(f"{tab.served.origin}/tasks/greet_guest")
    assert tab.get_by_text("in quarantine", exact=True).is_visible()
    _fine(tab)
    tab.get_by_role("link", name="Quarantine", exact=True).click()
    tab.get_by_role("button", name="Lift task:greet_guest").click()
    tab.get_by_text("task:greet_guest is free again").wait_for()
    assert quarantine.entries() == frozenset()
    del sandbox


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_task_is_sent_after_its_wrong_argument_was_mended(
    opens: Opens, sandbox: Sandbox, width: int, scheme: str
) -> None:
    demo.greeted.clear()
    tab = opens(width=width, scheme=scheme)
    tab.get_by_role("link", name="Tasks", exact=True).click()
    tab.get_by_role("link", name="greet_guest").click()
    name, seats = tab.locator("#arg-name"), tab.locator("#arg-seats")
    name.fill("Grace")
    seats.fill("many")
    tab.get_by_role("button", name="Enqueue").click()
    tab.get_by_text("1 argument wrong: see below.").wait_for()
    assert seats.get_attribute("aria-invalid") == "true"
    assert tab.locator("#why-seats").is_visible()
    assert (name.input_value(), seats.input_value()) == ("Grace", "many")
    _fine(tab)
    sandbox.drain()
    assert demo.greeted == []
    seats.fill("4")
    tab.get_by_role("button", name="Enqueue").click()
    tab.get_by_text("greet_guest was sent to guests.").wait_for()
    _fine(tab)
    sandbox.drain()
    assert demo.greeted == [("Grace", 4)]
    tab.reload()
    assert tab.get_by_text("succeeded").first.is_visible()
    _fine(tab)


def test_the_keyboard_alone_sends_an_empty_text(tab: Any, sandbox: Sandbox) -> None:
    demo.greeted.clear()
    tab.goto(f"{tab.served.origin}/tasks/greet_guest")
    means = tab.locator("#empty-name")
    assert not means.is_visible(), "it matters only while the field is written"
    tab.locator("#arg-name").focus()
    assert means.is_visible()
    tab.keyboard.press("Tab")
    assert means.evaluate("one => one === document.activeElement")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Tab")
    assert means.is_visible(), "it isn't the usual meaning, so it stays"
    tab.keyboard.press("Enter")
    tab.get_by_text("greet_guest was sent to guests.").wait_for()
    sandbox.drain()
    assert demo.greeted == [("", 2)]


def test_two_tabs_see_what_the_other_does(consumers: dict[str, Any], opens: Opens) -> None:
    tab = opens()
    other = tab.context.new_page()
    other.goto(f"{tab.served.origin}/")
    tab.get_by_role("button", name="Pause kitchen").click()
    tab.get_by_text("kitchen is paused").wait_for()
    other.reload()
    assert other.get_by_text("kitchen is paused").count() == 0, "it was said in the tab that did it"
    other.get_by_role("button", name="Resume kitchen").click()
    other.get_by_text("kitchen is resumed").wait_for()
    assert consumers["kitchen"]["State"] == "Enabling"
    # The first tab still shows the paused queue. Its button does no harm.
    tab.get_by_role("button", name="Resume kitchen").click()
    tab.get_by_text("kitchen is resumed").wait_for()


def test_who_may_only_look_finds_no_button_and_no_form_that_works(
    opens: Opens, sandbox: Sandbox, consumers: dict[str, Any]
) -> None:
    demo.serve.enqueue(7)
    sandbox.drain()
    tab = opens(read_only=True)
    assert tab.locator(".readonly").is_visible()
    [letter] = sandbox.dead_letters(demo.kitchen)
    seen = [
        "/",
        "/dead-letters",
        "/dead-letters/kitchen",
        "/dead-letters/kitchen/redrive",
        "/dead-letters/kitchen/discard",
    ]
    seen += [f"/dead-letters/kitchen/letter/{letter.id}", f"/dead-letters/kitchen/letter/{letter.id}?arguments=show"]
    seen += [
        "/queues/kitchen",
        "/tasks",
        "/tasks/greet_guest",
        "/status",
        "/jobs",
        "/schedules",
        "/outbox",
        "/quarantine",
    ]
    for path in [*seen, "/activity"]:
        answer = tab.goto(f"{tab.served.origin}{path}")
        assert answer.ok, path
        assert tab.locator("form[method=post]").count() == 0, path
        assert tab.locator("button.main, button.danger").count() == 0, path
        assert tab.get_by_role("link", name="Redrive").count() == 0, path
        _fine(tab)
    token = next(iter(tab.served.entry._sessions.values()))[1].token()
    for path in ("/queues/kitchen/pause", "/quarantine/add", "/dead-letters/kitchen/jobs", "/enqueue/greet_guest"):
        tab.goto(f"{tab.served.origin}/")
        with tab.expect_navigation():
            tab.evaluate(_SEND, [path, token])
        assert "This page is read-only. Nothing was done." in tab.inner_text("body")
    assert consumers["kitchen"]["State"] == "Enabled"
    assert quarantine.entries() == frozenset()
    assert len(sandbox.dead_letters(demo.kitchen)) == 1


_SEND = """([path, token]) => {
  const form = Object.assign(document.createElement("form"), {method: "post", action: path});
  const field = Object.assign(document.createElement("input"), {name: "csrf", value: token});
  form.append(field);
  document.body.append(form);
  form.submit();
}"""


def test_a_form_that_is_on_its_way_isnt_sent_once_more(opens: Opens) -> None:
    tab = opens()
    tab.goto(f"{tab.served.origin}/tasks/greet_guest")
    tab.get_by_label("name").first.fill("Ann")
    # The page's own listener is asked first.
    assert tab.evaluate(
        """() => {
            const found = [];
            addEventListener("submit", (event) => { found.push(event.defaultPrevented); event.preventDefault(); });
            const form = document.querySelector("form[action^='/enqueue/']");
            form.requestSubmit();
            form.requestSubmit();
            return found;
        }"""
    ) == [False, True]
