"""The page, served by a thread of the test's process in its sandbox, in a real Chromium.

A test here needs Chromium, playwright and axe: `make browser`. In CI, a machine without Chromium skips them too.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from celeriac.testing import Sandbox
from celeriac_console.web.app import application
from celeriac_console.web.guard.entry import LocalEntry
from celeriac_console.web.identity import Identity, identify
from celeriac_console.web.on_this_machine import ENTER, OnThisMachine
from celeriac_console.web.serve import listen
from celeriac_console.web.shared import Shared

# The walks bring a module of tasks, which other tests would see. `make browser` runs them in an environment of its own.
collect_ignore_glob = [] if find_spec("playwright") else ["test_walks_*.py"]
AXE = Path(__file__).parent / "axe/node_modules/axe-core/axe.min.js"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Without the background traffic of a browser that nobody uses, without a sandbox of its own, because CI runs as root,
# and without /dev/shm, which is small in containers.
FLAGS = [
    "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed: make browser")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Served:
    """A page that is served."""

    origin: str
    entry: LocalEntry
    shared: Shared

    @property
    def link(self) -> str:
        """What `celeriac web` prints."""
        return f"{self.origin}{ENTER}?token={self.entry.token}"


@contextmanager
def serving(*, read_only: bool = False, identity: Identity | None = None) -> Iterator[Served]:
    """Serve the page on a free port, as `celeriac web` does.

    identity: what its frame says; None: what AWS does.
    """
    listening = listen(None)
    number = listening.getsockname()[1]
    entry, shared = LocalEntry(number), Shared(identity or identify())
    app = application(shared, OnThisMachine(entry, shared.identity.who, may_act=not read_only))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the page couldn't be started"
        time.sleep(0.01)
    try:
        yield Served(f"http://127.0.0.1:{number}", entry, shared)
    finally:
        server.should_exit = True
        thread.join()


type Opens = Callable[..., Any]


@pytest.fixture
def opens(chromium: Any, sandbox: Sandbox) -> Iterator[Opens]:
    """Serve the page and open its link in a new browser window. Returns the tab."""
    with ExitStack() as stack:

        def start(
            *, read_only: bool = False, width: int = 1280, scheme: str = "light", identity: Identity | None = None
        ) -> Any:
            served = stack.enter_context(serving(read_only=read_only, identity=identity))
            window = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            stack.callback(window.close)
            window.set_default_timeout(30_000)
            tab = window.new_page()
            tab.served = served
            tab.goto(served.link)
            tab.wait_for_url(f"{served.origin}/")
            return tab

        yield start
    del sandbox


@pytest.fixture
def tab(opens: Opens) -> Any:
    """A tab of an operator who has come in."""
    return opens()


def serious(tab: Any) -> list[str]:
    """What axe finds on the shown screen that is serious or critical."""
    return found_by_axe(tab, "serious", "critical")


def found_by_axe(tab: Any, *impacts: str) -> list[str]:
    """What axe finds on the shown screen. Of all impacts, if none is named."""
    if not AXE.exists():
        pytest.skip("axe isn't installed: make browser")
    if tab.evaluate("window.axe === undefined"):
        tab.evaluate(AXE.read_text())
    found = tab.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['impact']}: {each['id']}: {each['help']}: {[node['target'] for node in each['nodes']][:3]}"
        for each in found["violations"]
        if not impacts or each["impact"] in impacts
    ]


def wide(tab: Any) -> int:
    """By how many pixels the shown screen is wider than the window."""
    return int(tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
