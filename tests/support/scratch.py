"""A copy of this clone to break things in, with its own changes and local cloud, and the real `cdk deploy`."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3

from celeriac.model import names
from celeriac_local.cloud import environment

ROOT = Path(__file__).resolve().parents[2]
PREFIX = names.start("local")

type Edits = Mapping[str, Sequence[tuple[str, str]]]
"""By file: pairs of an old text and its new text."""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_inside(module: str, arguments: Sequence[str], *, port: int, added: Mapping[str, str], edits: Edits) -> int:
    """Make the copy, start its cloud, run `module --inside FOLDER` in it, and clean up. Returns the exit code.

    `added` is appended to files of the copy. Missing files are created.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `timeout` cleans up too
    with tempfile.TemporaryDirectory(prefix="celeriac-chaos-") as folder:
        clone = Path(folder) / "clone"
        copy(clone)
        for name, text in added.items():
            with (clone / name).open("a") as file:
                file.write(text)
        for name, changes in edits.items():
            edit(clone / name, changes)
        try:
            subprocess.run(["make", "up"], cwd=clone, env=os.environ | {"PORT": str(port)}, check=True)
            python = clone / ".venv" / "bin" / "python"
            there = environment.of_command(port, os.environ)
            command = [str(python), "-m", module, "--inside", str(clone), *arguments]
            return subprocess.run(command, cwd=clone, env=there, check=False).returncode
        finally:
            subprocess.run(["make", "down"], cwd=clone, check=False)


def copy(clone: Path) -> None:
    """Copy the files that git tracks or would add."""
    listing = ["git", "ls-files", "-coz", "--exclude-standard"]
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if not (ROOT / name).exists():  # removed, but still in the index
            continue
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)


def edit(file: Path, changes: Sequence[tuple[str, str]]) -> None:
    """Replace old texts of a file by new ones. Raises ValueError if one isn't there."""
    text = file.read_text()
    for old, new in changes:
        if old not in text:
            # Otherwise the run would test something else than it claims.
            raise ValueError(f"{file} doesn't hold {old!r} any more: change the edit")
        text = text.replace(old, new)
    file.write_text(text)


def workers(clone: Path, function: str = PREFIX) -> list[int]:
    """The processes in which MiniStack runs those functions of the clone whose name starts with `function`."""
    marker = f"{clone}/.celeriac/tmp/ministack-lambda-{function}".encode()
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and marker in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # the process has ended
    return found


def kill(pids: Sequence[int]) -> int:
    """Kill the processes with SIGKILL. Returns how many still existed."""
    killed = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            killed += 1
        except ProcessLookupError:
            continue
    return killed


def rows(table: str) -> list[dict[str, Any]]:
    """Every item of a table, in DynamoDB's own types."""
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=PREFIX + table, ConsistentRead=True)
    return [dict(row) for page in pages for row in page["Items"]]


def waiting(queue: str) -> int:
    """The messages in a queue: visible, in flight, or delayed."""
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=PREFIX + queue)["QueueUrl"]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return (
        int(counts["ApproximateNumberOfMessages"])
        + int(counts["ApproximateNumberOfMessagesNotVisible"])
        + int(counts["ApproximateNumberOfMessagesDelayed"])
    )


def logged(function: str, pattern: str) -> list[str]:
    """The JSON lines of a function's log that contain `pattern`."""
    pages = (
        boto3.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=f"/aws/lambda/{PREFIX}{function}", filterPattern=f'"{pattern}"')
    )
    return [event["message"] for page in pages for event in page["events"] if event["message"].startswith("{")]


def deaths(function: str) -> int:
    """How many invocations of a function a kill has ended. Between two invocations a kill harms nobody."""
    pages = (
        boto3.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=f"/aws/lambda/{PREFIX}{function}", filterPattern='"Worker process died"')
    )
    return sum(len(page["events"]) for page in pages)


def verdict(facts: Mapping[str, tuple[int, int]]) -> int:
    """Print each count with the expected count. Returns the exit code."""
    for what, (seen, expected) in facts.items():
        say(f"  {'ok   ' if seen == expected else 'WRONG'} {what}: {seen} of {expected}")
    return 0 if all(seen == expected for seen, expected in facts.values()) else 1
