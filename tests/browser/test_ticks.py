"""An open tab asks again every five seconds, as long as somebody can see it. The tab's clock moves when it is told."""

from typing import Any

import pytest

from celeriac_console.web.live.stage import TICK
from tests.browser.conftest import Opens

MS = int(TICK.total_seconds() * 1000)
HIDE = """state => {
  Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def ticking(opens: Opens) -> Any:
    """A tab of the overview, with a clock that stands still."""
    tab = opens()
    tab.clock.install(time=0)
    _open(tab, "/")
    return tab


def _open(tab: Any, path: str) -> None:
    tab.goto(f"{tab.served.origin}{path}")
    tab.clock.pause_at(tab.evaluate("Date.now()") + 60_000)
    tab.evaluate("window.ticks = 0; document.body.addEventListener('celeriac:tick', () => { window.ticks += 1; })")


def _pass(tab: Any, ticks: int) -> int:
    """Let time pass. Returns how often the tab has asked meanwhile."""
    before = _ticks(tab)
    tab.clock.run_for(ticks * MS)
    return _ticks(tab) - before


def _ticks(tab: Any) -> int:
    return int(tab.evaluate("window.ticks"))


def _is_of_a_tick(request: Any) -> bool:
    return bool(request.headers.get("hx-request") == "true")


def test_a_tab_asks_every_five_seconds_while_it_is_seen(ticking: Any) -> None:
    with ticking.expect_request(_is_of_a_tick) as asked:
        assert _pass(ticking, 1) == 1
    assert asked.value.url == f"{ticking.served.origin}/"
    assert _pass(ticking, 4) == 4


def test_a_hidden_tab_asks_nothing_and_one_that_comes_back_asks_at_once(ticking: Any) -> None:
    _pass(ticking, 1)
    ticking.evaluate(HIDE, "hidden")
    assert _pass(ticking, 12) == 0
    before = _ticks(ticking)
    ticking.evaluate(HIDE, "visible")
    assert _ticks(ticking) == before + 1
    assert _pass(ticking, 2) == 2


def test_a_tab_that_was_hidden_for_a_moment_does_not_ask_more(ticking: Any) -> None:
    _pass(ticking, 1)
    for state in ("hidden", "visible", "hidden", "visible"):
        ticking.evaluate(HIDE, state)
    assert _pass(ticking, 1) == 1


def test_a_screen_that_isnt_live_never_asks(ticking: Any) -> None:
    _open(ticking, "/tasks")
    assert _pass(ticking, 3) == 0
