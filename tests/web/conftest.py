"""The page in a sandbox, and a browser's requests to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from celeriac.testing import Sandbox
from celeriac_console.web.app import application
from celeriac_console.web.guard.entry import LocalEntry
from celeriac_console.web.guard.operator import Session
from celeriac_console.web.identity import identify
from celeriac_console.web.on_this_machine import ENTER, OnThisMachine
from celeriac_console.web.shared import Shared

PORT = 4600
ORIGIN = f"http://127.0.0.1:{PORT}"


@dataclass
class Page:
    """A browser that may have come in."""

    browser: TestClient
    entry: LocalEntry
    shared: Shared

    def enter(self) -> "Page":
        """Open the printed link."""
        assert self.browser.get(ENTER, params={"token": self.entry.token}).status_code == 200
        return self

    @property
    def session(self) -> Session:
        """The one that the browser's cookie names."""
        found = self.entry.session(f"{self.entry.cookie}={self.browser.cookies[self.entry.cookie]}")
        assert found is not None
        return found

    def json(self, url: str, **query: Any) -> Any:
        """A screen as JSON."""
        answer = self.browser.get(url, params={**query, "format": "json"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def html(self, url: str, **query: Any) -> str:
        """A screen as a browser gets it."""
        answer = self.browser.get(url, params=query or None)  # an empty dict would drop the URL's own
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    def act(self, url: str, *, status: Any = 303, **form: Any) -> str:
        """Send a form of the page. Returns the page that follows, or the error's."""
        answer = self.browser.post(
            url, data={"csrf": self.session.token(), **form}, headers={"origin": ORIGIN}, follow_redirects=False
        )
        assert answer.status_code == status, answer.text
        return self.html(answer.headers["location"]) if status == 303 else str(answer.text)


type Opens = Callable[..., Page]


@pytest.fixture
def opened(sandbox: Sandbox) -> Opens:
    """Start the page, as `celeriac web` does."""

    def start(*, read_only: bool = False, show_arguments: bool = False) -> Page:
        entry = LocalEntry(PORT, show_arguments)
        shared = Shared(identify())
        app = application(shared, OnThisMachine(entry, shared.identity.who, may_act=not read_only))
        return Page(TestClient(app, base_url=ORIGIN), entry, shared)

    return start


@pytest.fixture
def page(opened: Opens) -> Page:
    """The page of an operator who has come in."""
    return opened().enter()
