"""The samples can be removed as the quickstart says. It is done in a copy, and everything else must still work there.

.venv/bin/pytest tests/tasks/test_removal.py --whole     all tests, types and lint there (some minutes)
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.howto import python_path
from tests.support.scratch import copy

ROOT = Path(__file__).parents[2]
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text()
SECTION = QUICKSTART.partition("## Without the samples\n")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"```\n(.*?)```", SECTION, flags=re.DOTALL)
# Tests that once depended on the samples: on their tables, queues, tasks and grants.
TELLING = (
    "tests/costs/test_calls.py::test_a_transaction_costs_three_calls",
    "tests/behaviour/test_enqueue_and_run.py::test_tasks_of_other_test_modules_do_not_exist_here",
    "tests/behaviour/test_outbox.py",
    "tests/infra/test_stack_declarations.py",
    "tests/unit/test_readme.py",
    "tests/unit/test_samples.py",
)
QUEUE, TASK = re.findall(r"```python\n(.*?)```", QUICKSTART, flags=re.DOTALL)[:2]
# The quickstart's first task, and names that the library's tests use too. They must not get in each other's way.
OWN_TASKS = ("benchmarks/versus", "console/celeriac_console/template", "tests/compatibility")
"""Folders with a package `tasks` of their own."""
OWN = {
    "reports.py": TASK,
    "queues.py": f"""
{QUEUE}
jobs = Queue("jobs", timeout=timedelta(minutes=3), concurrency=2)
mailbox = Queue("mailbox", fifo=True)
""",
    "tables.py": """
orders = Table("orders", key="number")
outbox = Outbox(bus=True)
""",
    "own.py": '''"""Tasks of a user."""

from celeriac import task
from tasks.queues import jobs


@task(jobs, key="order")
def charge(order: str) -> str:
    """The console's tests have a task with the same name."""
    return order


@task(jobs, on="*")
def subscriber(order_id: str) -> None:
    """Subscribed to every event."""
''',
}


@pytest.fixture
def removed(tmp_path: Path) -> Path:
    """A copy of this clone after the quickstart's commands."""
    clone = tmp_path / "clone"
    copy(clone)
    (commands,) = COMMANDS
    subprocess.run(["/bin/sh", "-e", "-c", commands], cwd=clone, check=True)
    return clone


def _run(clone: Path, *command: str, exit_code: int = 0) -> str:
    """What the command prints. It runs in this clone's environment, and takes the copy's sources before the installed
    ones of this clone.
    """
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "AWS_"))}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=clone,
        env=mine | {"PYTHONPATH": python_path(clone)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exit_code, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def _lint(clone: Path) -> None:
    _run(clone, "ruff", "check", "--no-cache", ".")
    _run(clone, "ruff", "format", "--no-cache", "--check", ".")


def test_without_the_samples_everything_else_works(removed: Path) -> None:
    _lint(removed)
    assert list(_imports_of_samples(removed)) == []
    assert "failed" not in _run(removed, "pytest", "-q", "-p", "no:cacheprovider", *TELLING)
    # Then the clone is a project like any other.
    assert "celeriac.toml has no [[demo]]" in _run(removed, "celeriac_local", "demo", exit_code=1)


def _imports_of_samples(clone: Path) -> Iterator[str]:
    """Imports that would fail in pytest or Python: of removed samples, or of what `sed` has removed."""
    theirs = re.compile(r"from (tasks\b|infra\.samples|infra import samples)")
    for file in clone.rglob("*.py"):
        if any(file.is_relative_to(clone / folder) for folder in OWN_TASKS):
            continue
        text = file.read_text()
        if "from tasks" not in text and "samples" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and theirs.match(ast.unparse(node)):
                yield f"{file.relative_to(clone)}: {ast.unparse(node)}"


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("whole", default=False):
        pytest.skip("takes minutes: --whole")


@pytest.mark.parametrize("own", [False, True], ids=["nothing instead", "own tasks instead"])
def test_without_the_samples_the_whole_suite_passes(whole: None, removed: Path, *, own: bool) -> None:
    for name, text in OWN.items() if own else ():
        with (removed / "functions" / "tasks" / name).open("a") as file:
            file.write(text)
    if own:
        tables = removed / "functions" / "tasks" / "tables.py"
        tables.write_text(tables.read_text().replace("import Table", "import Outbox, Table"))
    _lint(removed)
    _run(removed, "pytest", "-q", "-p", "no:cacheprovider", "-n", "2")
    _run(removed, "mypy", "--cache-dir", str(removed / ".mypy_cache"))
