"""The page in Chromium: who comes in, the keyboard, what is shown to whom."""

from typing import Any

import pytest

from tests.browser.conftest import Opens, serious


def test_the_link_opens_the_overview_and_works_once(opens: Opens, chromium: Any) -> None:
    tab = opens()
    assert tab.get_by_role("heading", name="Overview").is_visible()
    stranger = chromium.new_context().new_page()
    stranger.goto(tab.served.link)
    assert "prints a new link" in stranger.inner_text("body")
    stranger.goto(f"{tab.served.origin}/")
    assert "Open the link" in stranger.inner_text("body")
    stranger.context.close()


def test_two_tabs_share_a_session(opens: Opens) -> None:
    tab = opens()
    other = tab.context.new_page()
    other.goto(f"{tab.served.origin}/")
    assert other.get_by_role("heading", name="Overview").is_visible()


def test_the_page_loads_nothing_from_elsewhere_and_has_no_error(opens: Opens) -> None:
    tab = opens()
    asked: list[str] = []
    errors: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: errors.append(message.text) if message.type in {"error", "warning"} else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.reload()
    tab.wait_for_load_state("networkidle")
    assert asked
    assert all(url.startswith(tab.served.origin) for url in asked)
    assert errors == []


def test_the_keyboard_reaches_filter_rows_and_help(tab: Any) -> None:
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "find"
    tab.keyboard.press("Escape")
    tab.keyboard.press("j")
    first = tab.evaluate("document.activeElement.textContent")
    tab.keyboard.press("j")
    assert tab.evaluate("document.activeElement.textContent") != first
    tab.keyboard.press("k")
    assert tab.evaluate("document.activeElement.textContent") == first
    tab.keyboard.press("?")
    assert tab.get_by_role("dialog", name="Keyboard").is_visible()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_screen_of_the_menu_is_accessible_while_nothing_is_there(opens: Opens, width: int, scheme: str) -> None:
    tab = opens(width=width, scheme=scheme)
    for path in tab.eval_on_selector_all(".menu a", "links => links.map(link => link.getAttribute('href'))"):
        tab.goto(f"{tab.served.origin}{path}")
        assert serious(tab) == [], path
        wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is wider than the screen, by {wide} pixels"
