"""Every screen, with data: no rule of axe is broken, nothing is cut, and the keyboard's place can be seen."""

from typing import Any

import pytest

from celeriac.testing import Sandbox
from celeriac_console.web.screens import ROOMS
from tests.browser.conftest import Opens, found_by_axe, wide
from tests.browser.every_screen import NOT_A_SCREEN, WINDOWS, show, visits
from tests.browser.shop import IDENTITY, given, opened


def test_every_screen_is_accessible_and_fits(opens: Opens, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = opened(sandbox, monkeypatch)
    tab = opens(identity=IDENTITY)
    given(tab.served.shared)
    problems: list[str] = []
    seen = set()
    for visit in visits(tab, shop):
        tab.wait_for_load_state("networkidle")
        for width, scheme in WINDOWS:
            show(tab, width, scheme)
            where = f"{visit.name}, {width} pixels, {scheme}"
            problems += [f"{where}: {each}" for each in found_by_axe(tab)]
            if wide(tab) > 0:
                problems.append(f"{where}: it is wider than the window, by {wide(tab)} pixels")
        seen.add(visit.screen)
    assert not problems, "\n".join(problems)
    assert seen - {NOT_A_SCREEN} == {screen.path for room in ROOMS for screen in room.screens}, (
        "every_screen.visits leads to each screen"
    )


FOCUSED = """() => {
  const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
  const seen = box.width > 1 && box.height > 1
    && box.right > 10 && box.left < innerWidth && box.top >= 0 && box.top < innerHeight;
  const shown = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  const name = one === document.body ? "" : one.outerHTML.slice(0, 120);
  const again = one.dataset.visited === "yes";
  one.dataset.visited = "yes";
  return {name, again, fine: seen && shown};
}"""
MOST_TABS = 200


def _unseen(tab: Any) -> list[str]:
    """What gets the focus by Tab, and doesn't show it."""
    found: list[str] = []
    tab.evaluate("() => { document.querySelectorAll('[data-visited]').forEach(one => delete one.dataset.visited) }")
    for _ in range(MOST_TABS):
        tab.keyboard.press("Tab")
        focused = tab.evaluate(FOCUSED)
        if not focused["name"] or focused["again"]:
            return found
        if not focused["fine"]:
            found.append(focused["name"])
    raise AssertionError(f"Tab comes to no end on {tab.url}")


def test_the_focus_can_be_seen_on_every_screen(opens: Opens, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = opened(sandbox, monkeypatch)
    tab = opens(identity=IDENTITY)
    given(tab.served.shared)
    problems = []
    for visit in visits(tab, shop):
        for width in (1280, 390):
            show(tab, width, "light")
            problems += [f"{visit.name}, {width} pixels: {each}" for each in _unseen(tab)]
    assert not problems, "\n".join(problems)
