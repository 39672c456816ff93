"""A copy of one of examples/ on a local cloud of its own, by the real `celeriac local up`, in which a program runs."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import boto3

from celeriac.model import settings
from celeriac_local.cloud import environment
from tests.support import scratch
from tests.support.scratch import ROOT, Edits

BIN = Path(sys.executable).parent
APPLICATION = "shop"
STACK = f"{APPLICATION}-{environment.STAGE}"


def run_inside(
    example: str, module: str, arguments: Sequence[str], *, port: int, edits: Edits, packages: Sequence[str] = ()
) -> int:
    """Copy examples/`example`, start its cloud, run `module --inside FOLDER`, and clean up. Returns the exit code.

    packages: the dependency groups of this repository with what the example's tasks import beside the library.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `timeout` cleans up too
    with tempfile.TemporaryDirectory(prefix="celeriac-example-") as temporary:
        folder = Path(temporary).resolve() / example
        shutil.copytree(ROOT / "examples" / example, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        for name, changes in edits.items():
            scratch.edit(folder / name, changes)
        _lock(folder, packages)
        shell = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PORT": str(port)}
        try:
            subprocess.run([BIN / "celeriac", "local", "up"], cwd=folder, env=shell, check=True)
            there = environment.of_command(port, shell) | {settings.APPLICATION: APPLICATION}
            command = [sys.executable, "-m", module, "--inside", str(folder), *arguments]
            return subprocess.run(command, cwd=ROOT, env=there, check=False).returncode
        finally:
            subprocess.run([BIN / "celeriac", "local", "down"], cwd=folder, env=shell, check=False)


def _lock(folder: Path, groups: Sequence[str]) -> None:
    """Write the example's lock file, from this repository's: what PyPI has today isn't what is tried here."""
    named = [argument for group in groups for argument in ("--group", group)]
    export = [str(BIN / "uv"), "export", "--frozen", "--quiet", "--no-dev", "--no-emit-project", *named]
    subprocess.run([*export, "--output-file", str(folder / "requirements.txt")], cwd=ROOT, check=True)


def outputs() -> dict[str, str]:
    """The outputs of the example's stack, by name."""
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
