"""docs/howto/own-resources.md: its edits work as written, in a copy of this application."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.howto import BINARIES, QUICKSTART, ROOT, blocks, check_style, copied, run, typed_in

PAGE = ROOT / "docs" / "howto" / "own-resources.md"
TASK, TEST = blocks(PAGE, "python")
BUILD, GRANT = blocks(PAGE, "diff")
QUEUE, *_ = blocks(QUICKSTART, "python")


def patched(text: str, diff: str) -> str:
    """`text` with the new lines of the diff inserted. The diff's other lines find the place, and `...` stands for any
    text.
    """
    lines, at, new = text.splitlines(), 0, list[str]()
    after = False  # the line before the new lines is known, and not only the line behind them
    for line in diff.splitlines():
        if line.startswith("+"):
            new.append(line[1:])
            continue
        if new and after:
            lines[at:at] = new
            at, new = at + len(new), []
        known = line.strip().removesuffix("...").strip()
        after = bool(known)
        if known:
            at = next(number for number in range(at, len(lines)) if lines[number].strip().startswith(known))
            lines[at:at] = new
            at, new = at + len(new) + 1, []
    lines[at:at] = new
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application with the page's four edits, with the quickstart's queue."""
    copy = copied(tmp_path_factory.mktemp("copy"), "infra", "app.py", "cdk.json", "uv.lock")
    typed_in(copy, QUEUE, "queues")

    (added,) = re.findall(r"^uv add (?!--dev).*$", PAGE.read_text(), flags=re.MULTILINE)
    # Locking would ask the package index, and tests have no network.
    run(copy, BINARIES / "uv", *added.split()[1:], "--frozen", "--offline", "--python", sys.executable)
    (copy / "functions" / "tasks" / "statements.py").write_text(TASK)
    application = copy / "infra" / "application.py"
    application.write_text(patched(patched(application.read_text(), BUILD), GRANT))
    (copy / "tests").mkdir()
    (copy / "tests" / "test_statements.py").write_text(TEST)
    return copy


def test_the_package_is_a_dependency_of_the_functions(copy: Path) -> None:
    dependencies = tomllib.loads((copy / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "markdown-it-py" in dependencies


def test_a_kept_stage_is_synthesized_with_bucket_secret_and_permissions_without_findings(copy: Path) -> None:
    context = {**json.loads((copy / "cdk.json").read_text())["context"], "stage": "prod", "aws:cdk:bundling-stacks": []}
    run(copy, sys.executable, "app.py", CDK_CONTEXT_JSON=json.dumps(context), CDK_OUTDIR=str(copy / "cdk.out"))
    state, work = (
        (copy / "cdk.out" / f"celeriac-prod--{part}.template.json").read_text() for part in ("state", "work")
    )

    assert '"Name":"celeriac-prod--signing-key"' in state
    assert "celeriac-prod--statements-" in state
    assert '"STATEMENTS_BUCKET"' in work
    assert ":secret:celeriac-prod--signing-key-??????" in work
    assert '"s3:DeleteObject"' in work


def test_the_howtos_task_passes_its_test(copy: Path) -> None:
    assert "1 passed" in run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")


def test_the_howtos_python_has_this_projects_style(copy: Path) -> None:
    check_style(copy, "functions/tasks/statements.py", "tests/test_statements.py")
