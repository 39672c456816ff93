"""A cold start loads only what the handlers use. import-linter checks which folder may import which: `make lint`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "aws_cdk",
    "jsii",
    "celeriac_cdk",
    "celeriac_console",
    "celeriac_local",
    "pytest",
    "moto",
    "pydantic",
    "aws_xray_sdk",
    "typer",
}


@pytest.mark.parametrize("handler", ["consumer", "relay", "sweeper"])
def test_a_handler_loads_nothing_but_the_runtime(handler: str) -> None:
    program = f"import celeriac.entry.{handler}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "functions", capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"celeriac", "tasks"} <= set(loaded)
    assert FORBIDDEN & set(loaded) == set()


def test_a_consumer_in_lambda_loads_nothing_of_the_worker() -> None:
    program = "import celeriac.entry.consumer, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "functions", capture_output=True, text=True, check=True
    ).stdout.split()
    assert not [name for name in loaded if name.startswith("celeriac.worker")]


def test_a_producer_loads_neither_boto3_nor_powertools_before_it_sends() -> None:
    program = "import celeriac, tasks.queues, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "functions", capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"boto3", "botocore", "aws_lambda_powertools"} & set(loaded) == set()
    # Nor what only hooks need.
    assert {"celeriac.hooks.events", "celeriac.hooks.around", "celeriac.integrations"} & set(loaded) == set()


def test_a_test_session_without_a_sandbox_loads_no_moto() -> None:
    program = "import celeriac.testing.plugin, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "celeriac.testing.plugin" in loaded
    assert {"moto", "boto3", "time_machine"} & set(loaded) == set()
