"""From a failure to its repair, with the mouse and with the keyboard only."""

import re
from typing import Any

import pytest

import celeriac
from celeriac.testing import Sandbox
from tests.browser import demo
from tests.browser.conftest import Opens, serious, wide


@pytest.fixture(autouse=True)
def _failures(sandbox: Sandbox) -> None:
    """Three dishes and a table that failed, and a guest who was greeted."""
    demo.cooked.clear()
    for minutes in (90, 100, 110):
        demo.cook.enqueue("soup", minutes)
    demo.serve.enqueue(7)
    demo.greet_guest.enqueue("Ada")
    sandbox.drain()


def _fine(tab: Any) -> None:
    assert serious(tab) == [], tab.url
    assert wide(tab) <= 0, tab.url


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_failure_is_found_edited_redriven_and_succeeds(
    opens: Opens, sandbox: Sandbox, width: int, scheme: str
) -> None:
    tab = opens(width=width, scheme=scheme)
    first = tab.locator("tr[data-row]").first
    assert first.get_by_role("link", name="kitchen", exact=True).is_visible()
    assert first.get_by_text("4 dead letters").is_visible()
    _fine(tab)

    first.get_by_role("link", name="4", exact=True).click()
    tab.wait_for_url("**/dead-letters/kitchen")
    group = tab.locator("tr[data-row]").first
    assert "TimeoutError: the oven doesn't answer" in group.inner_text()
    _fine(tab)

    group.get_by_role("link", name="cook").click()
    tab.get_by_role("heading", name="3 letters of this failure").wait_for()
    _fine(tab)

    tab.locator("table").nth(1).locator("tr[data-row] a").first.click()
    tab.get_by_role("heading", name="cook").wait_for()
    assert "soup" not in tab.inner_text("main"), "arguments are hidden until somebody asks for them"
    _fine(tab)

    tab.get_by_role("link", name="Show them").click()
    tab.get_by_label("minutes").fill("an hour")
    tab.get_by_role("button", name="Redrive with these arguments").click()
    tab.get_by_text("Nothing was sent: the task doesn't take these arguments.").wait_for()
    assert tab.get_by_label("minutes").get_attribute("aria-invalid") == "true"
    assert tab.get_by_label("minutes").input_value() == "an hour"
    _fine(tab)

    tab.get_by_label("minutes").fill("45")
    tab.get_by_role("button", name="Redrive with these arguments").click()
    tab.get_by_text("cook was sent back to kitchen.").wait_for()
    sandbox.drain()
    assert demo.cooked == [("soup", 45)]
    assert len(sandbox.dead_letters(demo.kitchen)) == 3

    tab.get_by_role("link", name="Activity").click()
    line = tab.locator("tr[data-row]").first
    assert line.get_by_role("rowheader", name="dlq redrive").is_visible()
    assert "queue kitchen" in line.inner_text()
    assert "soup" not in tab.inner_text("main")
    _fine(tab)


@pytest.mark.parametrize("width", [1280, 390])
def test_all_letters_of_a_failure_are_redriven_by_a_job(opens: Opens, sandbox: Sandbox, width: int) -> None:
    tab = opens(width=width)
    tab.get_by_role("link", name="Redrive all of kitchen").click()
    tab.locator("#live > p", has_text="This will redrive 4 letters").wait_for()
    _fine(tab)
    tab.get_by_label("At most so many a second").fill("")
    tab.get_by_role("button", name="Start the redrive").click()
    tab.wait_for_url("**/jobs/1")
    tab.served.shared.jobs.get("1").join(30)
    tab.reload()
    assert tab.get_by_text("done", exact=True).first.is_visible()
    _fine(tab)
    tab.goto(f"{tab.served.origin}/jobs")
    _fine(tab)
    assert sandbox.dead_letters(demo.kitchen) == []


def test_a_letter_is_discarded_only_after_a_look(tab: Any, sandbox: Sandbox) -> None:
    tab.goto(f"{tab.served.origin}/dead-letters/kitchen/discard?task=serve")
    _fine(tab)
    tab.get_by_role("button", name="Discard 1 letter").click()
    assert tab.url.endswith("/discard?task=serve"), "the box must be ticked first"
    tab.get_by_label("They will be gone for good").check()
    tab.get_by_role("button", name="Discard 1 letter").click()
    tab.wait_for_url("**/jobs/1")
    tab.served.shared.jobs.get("1").join(30)
    assert {letter.task for letter in sandbox.dead_letters(demo.kitchen)} == {"cook"}


@pytest.mark.parametrize("width", [1280, 390])
def test_all_that_match_are_counted_by_a_job_before_they_are_discarded(
    opens: Opens, sandbox: Sandbox, width: int
) -> None:
    tab = opens(width=width)
    tab.goto(f"{tab.served.origin}/dead-letters/kitchen/discard?task=cook&most=1")
    assert "Only the first 1 of about 4 letters were read" in tab.inner_text("main")
    _fine(tab)
    tab.get_by_role("button", name="count all that match").click()
    tab.wait_for_url("**/jobs/1")
    tab.served.shared.jobs.get("1").join(30)
    tab.reload()
    _fine(tab)
    assert len(sandbox.dead_letters(demo.kitchen)) == 4
    tab.get_by_label("They will be gone for good").check()
    tab.get_by_role("button", name="Discard 3 letters").click()
    tab.wait_for_url("**/jobs/2")
    tab.served.shared.jobs.get("2").join(30)
    tab.reload()
    _fine(tab)
    assert [letter.task for letter in sandbox.dead_letters(demo.kitchen)] == ["serve"]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_replay_is_previewed_and_runs_as_a_job(opens: Opens, width: int) -> None:
    with celeriac.transaction() as tx:
        tx.emit("party.begun", {"guests": 7}, aggregate="party")
    tab = opens(width=width)
    tab.goto(f"{tab.served.origin}/outbox")
    tab.get_by_label("Type, or a pattern").fill("party.*")
    tab.get_by_role("button", name="Preview").click()
    tab.wait_for_url("**/jobs/1")
    tab.served.shared.jobs.get("1").join(30)
    tab.reload()
    _fine(tab)
    assert "guests" not in tab.inner_text("main")
    tab.get_by_role("button", name="Replay 1 event").click()
    tab.wait_for_url("**/jobs/2")
    tab.served.shared.jobs.get("2").join(30)
    tab.reload()
    assert tab.get_by_text("done", exact=True).first.is_visible()
    _fine(tab)
    tab.goto(f"{tab.served.origin}/outbox")
    assert tab.get_by_role("link", name="Replay of party.*").last.is_visible()
    _fine(tab)


def test_one_letter_is_discarded_by_two_clicks(tab: Any, sandbox: Sandbox) -> None:
    tab.goto(f"{tab.served.origin}/dead-letters/kitchen?task=serve")
    tab.locator("tr[data-row] a").first.click()
    tab.locator("tr[data-row] a[href*='/letter/']").first.click()
    for_good = tab.get_by_role("button", name="Discard for good")
    assert for_good.count() == 0
    tab.get_by_text("Discard…").click()
    _fine(tab)
    assert len(sandbox.dead_letters(demo.kitchen)) == 4
    for_good.click()
    tab.get_by_text("The letter was discarded.").wait_for()
    assert {letter.task for letter in sandbox.dead_letters(demo.kitchen)} == {"cook"}


def test_the_keyboard_alone_leads_to_a_letter(tab: Any) -> None:
    def focused() -> str:
        return str(tab.evaluate("document.activeElement.textContent"))

    press = tab.keyboard.press
    tab.clock.set_fixed_time("2026-01-01")  # `g` and the number may be far apart on a slow machine
    press("j")
    assert focused() == "kitchen"
    press("g")
    press("2")
    tab.wait_for_url("**/dead-letters")
    press("j")
    assert focused() == "cook"
    press("Enter")
    tab.wait_for_url(re.compile(r"/dead-letters/kitchen\?kind="))
    tab.get_by_role("heading", name="3 letters of this failure").wait_for()
    press("j")  # the group, then its letters
    press("j")
    press("Enter")
    tab.get_by_role("heading", name="cook").wait_for()
    assert "/letter/" in tab.url
    for _ in range(40):
        press("Tab")
        if focused() == "Show them":
            break
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus can be seen"
    press("Enter")
    tab.get_by_label("minutes").wait_for()
