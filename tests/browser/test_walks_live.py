"""What an open tab does by itself, and what somebody notices who doesn't see it: the browser's clock is the test's."""

from typing import Any

import pytest

from celeriac.declare import registry
from celeriac.testing import Sandbox
from celeriac_console.web.live.shared_read import SharedRead
from celeriac_console.web.live.stage import TICK
from celeriac_console.web.shown import address
from tests.browser import demo

SAID = """() => {
  window.said = [];
  new MutationObserver((changes) => {
    for (const {target} of changes) {
      const element = target.nodeType === 1 ? target : target.parentElement;
      const live = element?.closest("[role=status], [role=alert], [aria-live]");
      if (live) window.said.push(live.textContent.trim());
    }
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""
"""Keeps what a screen reader would read out."""


SWAPPED = """() => {
  delete document.body.dataset.swapped;
  document.body.addEventListener("htmx:after:swap", () => { document.body.dataset.swapped = "yes"; }, {once: true});
}"""


@pytest.fixture
def clocked(tab: Any) -> Any:
    """A tab whose clock the test sets forward."""
    tab.clock.install()
    tab.reload()
    return tab


def _ticks(tab: Any) -> None:
    tab.evaluate(SWAPPED)
    tab.clock.run_for(int(TICK.total_seconds() * 1000))
    tab.locator("body[data-swapped]").wait_for(state="attached")


def test_a_task_that_waits_is_seen_to_end_without_a_reload(clocked: Any, sandbox: Sandbox) -> None:
    handle = demo.greet_guest.enqueue("Ada")
    clocked.goto(f"{clocked.served.origin}{address('/status', ref=handle.ref)}")
    state = clocked.locator(".head .tag")
    assert state.inner_text() == "queued"
    assert clocked.get_by_text("waiting in its queue").is_visible()
    clocked.evaluate("window.here = true")
    _ticks(clocked)
    assert state.inner_text() == "queued"
    sandbox.drain()
    sandbox.advance(TICK)  # all tabs share an answer for so long
    _ticks(clocked)
    clocked.locator(".steps").get_by_text("succeeded").wait_for()
    assert state.inner_text() == "succeeded"
    assert clocked.get_by_text("waiting in its queue").count() == 0
    assert clocked.evaluate("window.here"), "the page was not loaded anew"
    # It has ended, so the tab asks no more.
    asked: list[str] = []
    clocked.on("request", lambda request: asked.append(request.url))
    clocked.clock.run_for(60_000)
    clocked.wait_for_load_state("networkidle")
    assert asked == []


def test_a_tick_is_read_out_only_if_something_has_changed(clocked: Any, sandbox: Sandbox) -> None:
    live: Any = clocked.served.shared.live
    live.consumers = SharedRead(lambda: dict.fromkeys(registry.queues(), "on"), TICK, {})
    clocked.reload()
    clocked.evaluate(SAID)
    _ticks(clocked)
    sandbox.advance(TICK)
    _ticks(clocked)
    assert clocked.evaluate("window.said") == []
    demo.serve.enqueue(7)
    sandbox.drain()
    sandbox.advance(TICK)
    _ticks(clocked)
    clocked.locator(".verdict", has_text="needs you").wait_for()
    assert set(clocked.evaluate("window.said")) == {clocked.inner_text(".verdict")}


def test_a_tick_leaves_the_focus_and_an_open_list_of_keys(clocked: Any) -> None:
    clocked.keyboard.press("j")
    here = clocked.evaluate("document.activeElement.textContent")
    _ticks(clocked)
    clocked.wait_for_load_state("networkidle")
    assert clocked.evaluate("document.activeElement.textContent") == here
    clocked.keyboard.press("?")
    asked: list[str] = []
    clocked.on("request", lambda request: asked.append(request.url))
    clocked.clock.run_for(20_000)
    assert asked == []
    assert clocked.get_by_role("dialog", name="Keyboard").is_visible()
    clocked.keyboard.press("Escape")
    assert clocked.get_by_role("dialog", name="Keyboard").count() == 0
    assert clocked.evaluate("document.activeElement.textContent") == here, "the focus is back on the row"


def test_tab_and_enter_lead_past_the_menu(tab: Any) -> None:
    tab.reload()
    tab.keyboard.press("Tab")
    skip = tab.get_by_role("link", name="Skip to the content")
    assert skip.evaluate("one => one === document.activeElement && one.getBoundingClientRect().left >= 0")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/#main")
    assert tab.evaluate("document.activeElement.id") == "main"
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "find", "the first thing in the content"


def test_escape_leaves_the_filter_so_that_the_keys_work_again(tab: Any) -> None:
    tab.keyboard.press("/")
    tab.keyboard.press("j")
    assert tab.locator("#find").input_value() == "j"
    tab.keyboard.press("Escape")
    tab.keyboard.press("j")
    assert tab.evaluate("document.activeElement.closest('[data-row]') !== null")
