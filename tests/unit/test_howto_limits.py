"""docs/howto/limits.md: its limit, its task and its test, unchanged, in a copy of this application."""

import sys
from pathlib import Path

import pytest

from tests.support.howto import ROOT, blocks, check_style, copied, run, typed_in

HOWTO = ROOT / "docs" / "howto"
LIMIT, TASK, TEST = blocks(HOWTO / "limits.md", "python")


def test_the_howtos_twenty_webhooks_arrive(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    typed_in(copy, 'deliveries = Queue("deliveries", timeout=timedelta(seconds=30))', "queues")
    (copy / "functions" / "tasks" / "limits.py").write_text(LIMIT)
    (copy / "functions" / "tasks" / "deliveries.py").write_text(TASK)
    (copy / "tests").mkdir()
    (copy / "tests" / "test_deliveries.py").write_text(TEST)

    check_style(copy, "functions/tasks/limits.py", "functions/tasks/deliveries.py")
    assert "1 passed" in run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")


@pytest.mark.parametrize("page", ["rate", "concurrent", "breaker"])
def test_the_declarations_of_the_other_pages_work(tmp_path: Path, page: str) -> None:
    copy = copied(tmp_path)
    for block in blocks(HOWTO / f"{page}.md", "python"):
        run(copy, sys.executable, "-c", block)
