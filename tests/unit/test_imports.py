"""Imports run one way, and a cold start pays only for what the handlers use."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {"aws_cdk", "jsii", "console", "infra", "local", "pytest", "moto", "pydantic", "aws_xray_sdk", "typer"}


@pytest.mark.parametrize("handler", ["consumer", "relay"])
def test_a_handler_loads_nothing_but_the_runtime(handler: str) -> None:
    program = f"import {handler}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "functions", capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"celeriac", "tasks"} <= set(loaded)
    assert FORBIDDEN & set(loaded) == set()


def test_a_producer_loads_neither_boto3_nor_powertools_before_it_sends() -> None:
    program = "import celeriac, tasks.queues, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "functions", capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"boto3", "botocore", "aws_lambda_powertools"} & set(loaded) == set()


@pytest.mark.parametrize(
    ("folder", "may_import"),
    [
        ("functions", {"functions"}),
        ("infra", {"functions", "infra"}),
        ("console", {"functions", "console"}),
        ("local", {"functions", "console", "infra", "local"}),
    ],
)
def test_imports_run_one_way(folder: str, may_import: set[str]) -> None:
    roots = {"infra": "infra", "console": "console", "local": "local", "tests": "tests"}
    allowed = {module for module, home in roots.items() if home in may_import}
    for file in (ROOT / folder).rglob("*.py"):
        if ".venv" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            wrong = {name.partition(".")[0] for name in names} & (set(roots) - allowed)
            assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


def test_a_test_session_without_a_sandbox_loads_no_moto() -> None:
    program = "import celeriac.testing.plugin, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "celeriac.testing.plugin" in loaded
    assert {"moto", "boto3", "time_machine"} & set(loaded) == set()
