"""docs/howto/aws-events.md: its task and its test, unchanged, in a copy of this application."""

import sys
from pathlib import Path

from tests.support.howto import BINARIES, ROOT, blocks, check_style, copied, run, typed_in

TASK, TEST = blocks(ROOT / "docs" / "howto" / "aws-events.md", "python")


def test_the_howtos_upload_becomes_a_thumbnail(tmp_path: Path) -> None:
    copy = copied(tmp_path, "celeriac.toml")
    typed_in(copy, 'uploads = Queue("uploads")', "queues")
    (copy / "functions" / "tasks" / "uploads.py").write_text(TASK)
    (copy / "tests").mkdir()
    test = "tests/test_uploads.py"
    (copy / test).write_text(TEST)

    check_style(copy, "functions/tasks/uploads.py", test)
    assert "1 passed" in run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test)
    listed = run(copy, BINARIES / "celeriac", "tasks")
    assert "called by AWS's events aws.s3 Object Created" in listed
