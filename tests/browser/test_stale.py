"""A tab that can't be renewed says so, and keeps what it shows: it is old, and no other page takes its place."""

from typing import Any

from tests.browser.conftest import Opens

TICK = "document.body.dispatchEvent(new CustomEvent('celeriac:tick'))"


def test_a_tab_whose_session_has_ended_says_that_it_is_old(tab: Any) -> None:
    stale = tab.locator("#stale")
    assert tab.locator("#live h1").count() == 1
    assert stale.is_hidden()
    sessions = dict(tab.served.entry._sessions)
    tab.served.entry._sessions.clear()
    tab.evaluate(TICK)
    stale.wait_for(state="visible")
    assert tab.locator("#live h1").count() == 1
    tab.served.entry._sessions.update(sessions)
    tab.evaluate(TICK)
    stale.wait_for(state="hidden")


def test_a_load_balancer_that_sends_a_tab_to_sign_in_makes_it_old(opens: Opens) -> None:
    tab = opens()
    elsewhere = {"location": "https://login.example.org/authorize"}
    tab.route("**/*", lambda route: route.fulfill(status=302, headers=elsewhere))
    tab.evaluate(TICK)
    tab.locator("#stale").wait_for(state="visible")
    assert tab.locator("#live h1").count() == 1
