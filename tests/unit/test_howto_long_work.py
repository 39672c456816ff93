"""docs/howto/long-work.md: its task and its test, unchanged, in a copy of this application."""

import sys
from pathlib import Path

from tests.support.howto import ROOT, blocks, check_style, copied, run, typed_in

TASK, *_, TEST = blocks(ROOT / "docs" / "howto" / "long-work.md", "python")


def test_the_howtos_export_reaches_its_end(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    typed_in(copy, 'exports = Queue("exports", timeout=timedelta(seconds=30))', "queues")
    (copy / "functions" / "tasks" / "exports.py").write_text(TASK)
    (copy / "tests").mkdir()
    (copy / "tests" / "test_exports.py").write_text(TEST)

    check_style(copy, "functions/tasks/exports.py")
    assert "1 passed" in run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
