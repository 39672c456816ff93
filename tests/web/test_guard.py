"""Who may come in, and what a stranger's page can make a browser do."""

import time

import pytest

from celeriac_console.web.guard.entry import SESSION_SECONDS
from celeriac_console.web.on_this_machine import ENTER
from tests.web.conftest import Opens, Page


def test_the_link_works_once_and_its_session_lasts(opened: Opens) -> None:
    page = opened()
    assert page.browser.get("/").status_code == 401
    assert page.browser.get(ENTER, params={"token": "guessed"}).status_code == 403
    page.enter()
    assert page.browser.get("/").status_code == 200
    page.browser.cookies.clear()
    again = page.browser.get(ENTER, params={"token": page.entry.token})
    assert again.status_code == 403
    assert "prints a new link" in again.text


def test_the_cookie_is_the_pages_alone(opened: Opens) -> None:
    page = opened()
    cookie = page.browser.get(ENTER, params={"token": page.entry.token}).headers["set-cookie"]
    assert cookie.startswith("celeriac-4600=")
    for word in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert word in cookie


def test_a_session_ends_after_a_day(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.monotonic() + SESSION_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert page.browser.get("/").status_code == 401


@pytest.mark.parametrize("host", ["evil.example:4600", "127.0.0.1:80", "127.0.0.1", "localhost.evil.example:4600", ""])
def test_another_name_for_this_machine_gets_nothing(page: Page, host: str) -> None:
    for url in ("/", ENTER):
        assert page.browser.get(url, headers={"host": host}).status_code == 421


def test_every_answer_tells_the_browser_what_to_refuse(page: Page) -> None:
    for url in ("/", "/nowhere", "/static/page.css", ENTER, "/static/../app.py", "/static/%2e%2e/app.py"):
        answer = page.browser.get(url)
        assert "default-src 'none'" in answer.headers["content-security-policy"], url
        assert answer.headers["x-frame-options"] == "DENY"
        # With `no-referrer`, Chromium sends `Origin: null` with the page's own forms.
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "from starlette" not in answer.text


def test_what_shows_the_stage_is_not_kept_by_the_browser(page: Page) -> None:
    for url in ("/", "/nowhere", "/?format=json"):
        assert page.browser.get(url).headers["cache-control"] == "no-store"
