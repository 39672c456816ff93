"""Pictures of every screen: `make screenshots` writes those of the docs to docs/images/web/, all others to .celeriac.

It isn't a test, and runs only when it is named.
"""

from pathlib import Path

import pytest

from celeriac.testing import Sandbox
from tests.browser.conftest import Opens
from tests.browser.every_screen import WINDOWS, show, visits
from tests.browser.shop import IDENTITY, given, opened

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs/images/web"
OTHERS = ROOT / ".celeriac/screenshots"
"""Of the screens that no page of the docs shows."""
SHOWN = frozenset({"overview-1280-light", "overview-390-dark", "dead-letters-1280-light", "letter-1280-light"})
AS_AT_AWS = """pairs => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode())
    for (const [here, there] of pairs) texts.currentNode.data = texts.currentNode.data.replaceAll(here, there)
}"""
"""Names of files and of the stage as they would be in Lambda."""
REPLACED = [
    [str(ROOT / "functions"), "/var/task"],
    [str(Path(__file__).parent), "/var/task/tasks"],
    ["tests.browser.shop.", "tasks.payments."],
    ["shop.py", "payments.py"],
    ["--stage test", "--stage prod"],
    ["celeriac-test--", "shop-prod--"],
]


def test_the_pictures_are_taken(opens: Opens, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (PICTURES, OTHERS):
        folder.mkdir(parents=True, exist_ok=True)
    shop = opened(sandbox, monkeypatch)
    tab = opens(identity=IDENTITY)
    given(tab.served.shared)
    for visit in visits(tab, shop):
        tab.wait_for_load_state("networkidle")
        tab.evaluate(AS_AT_AWS, REPLACED)
        for width, scheme in WINDOWS:
            show(tab, width, scheme)
            name = f"{visit.name}-{width}-{scheme}"
            folder = PICTURES if name in SHOWN else OTHERS
            folder.joinpath(f"{name}.png").write_bytes(tab.screenshot(full_page=True))
