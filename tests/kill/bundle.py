"""What a worker runs: a copy of the library beside the tasks of this folder, with planted faults if asked for.

Workers outside of Lambda wait shorter there: a play takes seconds.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Edit(NamedTuple):
    """A change of the copy: in one file, `fault` replaces `line`, a text that occurs once."""

    file: str
    line: str
    fault: str


# How long a message stays invisible without a heartbeat, and how long an idle worker takes to end.
SHORTER = (
    Edit("celeriac/model/queue.py", "WITHOUT_A_BEAT = timedelta(minutes=5)", "WITHOUT_A_BEAT = timedelta(seconds=3)"),
    Edit("celeriac/worker/heartbeat.py", "BEATS = 10", "BEATS = 3"),
    Edit("celeriac/worker/poller.py", "POLL_SECONDS = 5", "POLL_SECONDS = 1"),
)


def make(folder: Path, edits: Sequence[Edit] = ()) -> None:
    """Make the bundle."""
    ignored = shutil.ignore_patterns("__pycache__", "testing")
    shutil.copytree(
        ROOT / "functions", folder, ignore=lambda where, names: ignored(where, names) | {"tasks"} & set(names)
    )
    shutil.copytree(ROOT / "tests" / "kill" / "tasks", folder / "tasks", ignore=ignored)
    for edit in (*SHORTER, *edits):
        text = (folder / edit.file).read_text()
        if text.count(edit.line) != 1:
            raise ValueError(f"{edit.file} has no such line, or several: {edit.line}")
        (folder / edit.file).write_text(text.replace(edit.line, edit.fault))
