"""Texts of others that would run in a careless page: in a task's name, a body, an argument, an error."""

from typing import Any

import pytest

from celeriac.testing import Sandbox
from tests.browser import demo
from tests.browser.conftest import Opens, serious, wide
from tests.browser.demo import HOSTILE

SCREENS = ("/", "/dead-letters", "/dead-letters/attic", "/dead-letters/attic/redrive", "/tasks", "/status", "/activity")


@pytest.fixture(autouse=True)
def _letters(sandbox: Sandbox) -> None:
    demo.haunt.enqueue(HOSTILE)
    sandbox.send(demo.attic, HOSTILE)
    sandbox.send(demo.attic, {"task": HOSTILE, "id": HOSTILE, "args": {HOSTILE: HOSTILE}})
    sandbox.send(demo.attic, HOSTILE * 1_000)
    sandbox.drain()


def _watched(tab: Any) -> list[str]:
    errors: list[str] = []
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("dialog", lambda dialog: errors.append(dialog.message))
    return errors


def _nothing_ran(tab: Any) -> None:
    tab.wait_for_load_state("networkidle")
    assert tab.evaluate("window.hit") is None, tab.url
    assert tab.locator("main script, main img").count() == 0, tab.url
    assert wide(tab) <= 0, tab.url


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_letters_run_nothing_and_break_nothing(opens: Opens, sandbox: Sandbox, width: int) -> None:
    tab = opens(width=width)
    errors = _watched(tab)
    for path in SCREENS:
        assert tab.goto(f"{tab.served.origin}{path}").ok, path
        _nothing_ran(tab)
        assert serious(tab) == [], path
    # Each group, and the letters of each.
    tab.goto(f"{tab.served.origin}/dead-letters/attic")
    groups = tab.eval_on_selector_all("tr[data-row] a", "links => links.map(link => link.href)")
    assert len(groups) >= 2
    seen = 0
    for group in groups:
        tab.goto(group)
        _nothing_ran(tab)
        letters = tab.eval_on_selector_all("tr a[href*='/letter/']", "links => links.map(link => link.href)")
        for letter in letters:
            assert tab.goto(letter).ok
            _nothing_ran(tab)
            assert tab.goto(f"{letter}?arguments=show").ok
            _nothing_ran(tab)
            assert serious(tab) == [], letter
            seen += 1
    assert seen == len(sandbox.dead_letters(demo.attic)) == 4
    assert errors == []


def test_a_hostile_task_has_its_screen_and_its_letter_can_be_redriven(tab: Any, sandbox: Sandbox) -> None:
    errors = _watched(tab)
    tab.goto(f"{tab.served.origin}/tasks")
    tab.locator("tr[data-row] a", has_text="haunt").first.click()
    tab.locator("#arg-note").fill(HOSTILE)
    tab.get_by_role("button", name="Enqueue").click()
    tab.get_by_text("was sent to attic.").wait_for()
    _nothing_ran(tab)
    sandbox.drain()
    tab.reload()
    _nothing_ran(tab)
    tab.get_by_role("link", name="Activity").click()
    assert "haunt <script>" in tab.inner_text("main")
    _nothing_ran(tab)
    assert errors == []


@pytest.mark.parametrize("path", ["/", "/tasks", "/status", "/schedules", "/dead-letters", "/nowhere"])
def test_a_hostile_link_runs_nothing(tab: Any, path: str) -> None:
    for name in ("find", "ref", "task", "error", "kind", "text", "contains", "since"):
        tab.goto(f"{tab.served.origin}{path}")
        tab.evaluate("([name, text]) => { location.search = new URLSearchParams([[name, text]]) }", [name, HOSTILE])
        tab.wait_for_url(f"**{path}?{name}=*")
        _nothing_ran(tab)
