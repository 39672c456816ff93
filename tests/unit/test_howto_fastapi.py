"""docs/howto/fastapi.md: its application and its tests, unchanged, in a copy with the quickstart's first task."""

import sys
from pathlib import Path

from tests.support.howto import QUICKSTART, ROOT, blocks, check_style, copied, run, typed_in

TABLE, API, TEST = blocks(ROOT / "docs" / "howto" / "fastapi.md", "python")
QUEUE, TASK, *_ = blocks(QUICKSTART, "python")


def test_the_howtos_application_passes_its_tests(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    typed_in(copy, QUEUE, "queues")
    typed_in(copy, TABLE, "tables")
    (copy / "functions" / "tasks" / "reports.py").write_text(TASK)
    (copy / "api.py").write_text(API)
    (copy / "tests").mkdir()
    (copy / "tests" / "test_api.py").write_text(TEST)

    check_style(copy, "api.py", "tests/test_api.py")
    assert "2 passed" in run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
