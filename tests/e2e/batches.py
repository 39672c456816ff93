"""A fan-out and its batch, and chains, on the local cloud, by the real `cdk deploy`, while workers are killed.

make batches                                              10,000 members, many minutes
.venv/bin/python -m tests.e2e.batches --members 300       a short run

The worker that fills the batch is killed in the middle, so its task fills it anew. A second producer, outside of
Lambda, is killed between sealing its batch and the rest, which the sweeper does. Some members are rejected until they
are redriven. Each member must count once, `dead` come once, and `then` once, when all members have succeeded. Each step
of a chain must take effect once, with the word that is recorded of the step before.
"""

import argparse
import importlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console

import celeriac
from celeriac.declare import registry
from celeriac.flow.batches import root
from celeriac.flow.batches.known import KnownBatch
from celeriac_local.cloud import refused_calls
from celeriac_local.folders import log
from celeriac_local.iam.refusal import noted
from tests.e2e import batches_application as own
from tests.e2e.batches_report import report
from tests.support import scratch
from tests.support.scratch import say

MEMBERS, PORT = 10_000, 4740
CHAINS = 50
SMALL = 30
"""The members of the batch whose producer dies after it has sealed it."""
REJECTED = 97
"""One member in so many is rejected at first."""
LIMIT_SECONDS = 3000
QUIET_SECONDS = 20.0
"""The time for a second effect, if there is one."""
KILL_SECONDS = (1.0, 5.0)
GROWN_SECONDS = 3.0
OF_MEMBERS = 0.5
"""The share of the kills that hit only workers of members, who are few and have most of the work."""
REDRIVE_SECONDS, SAID_SECONDS = 60, 10


class _Run:
    """What the threads of a run share."""

    def __init__(self, clone: Path, notes: Path, members: int) -> None:
        self.clone, self.notes, self.members = clone, notes, members
        self.tasks: Any = importlib.import_module("tasks.batches")
        self.started = time.monotonic()
        self.over = threading.Event()
        self.facts: Counter[str] = Counter()
        self.chains: list[Any] = []

    def kill(self) -> None:
        """Kill one random worker at a time, but none that fills the batch."""
        seen: dict[int, float] = {}
        while not self.over.wait(random.uniform(*KILL_SECONDS)):
            now = time.monotonic()
            spared = set(scratch.workers(self.clone, scratch.PREFIX + own.FAN_OUT))
            seen = {pid: seen.get(pid, now) for pid in scratch.workers(self.clone) if pid not in spared}
            grown = [pid for pid, since in seen.items() if now - since > GROWN_SECONDS]
            if random.random() < OF_MEMBERS:
                grown = [pid for pid in scratch.workers(self.clone, scratch.PREFIX + own.MEMBERS) if pid in grown]
            self.facts["workers killed"] += scratch.kill([random.choice(grown)]) if grown else 0

    def kill_the_producer(self) -> None:
        """Kill the worker that fills the batch when it is half full."""
        half = self.notes / "half.txt"
        while not self.over.wait(0.1):
            if half.exists():
                self.facts["producers killed at half"] += scratch.kill([int(half.read_text().split()[0])])
                say(f"{self.seconds:4.0f} s  the producer is killed at half")
                return

    def seal_and_die(self) -> None:
        """Let another process fill a small batch, and die between its seal and the rest."""
        command = [sys.executable, "-m", "tests.e2e.batches", "--seals", str(self.members)]
        ended = subprocess.run(command, cwd=self.clone, check=False).returncode
        batch = root.read(f"{own.CALLS}#all_done:{own.SEALED}")
        if ended == -signal.SIGKILL and batch is not None and batch.is_sealed and not batch.fired:
            self.facts["producers killed behind the seal"] += 1
        say(f"{self.seconds:4.0f} s  another producer has sealed its batch and died")
        self.wait("then of the sealed batch", lambda: self.calls("then", own.SEALED) > 0)
        say(f"{self.seconds:4.0f} s  the sweeper has ended the sealed batch")

    def enqueue_chains(self) -> None:
        """Enqueue chains while the members run. The fan-out enqueues another one."""
        for number in range(CHAINS):
            self.chains.append(self.tasks.start_chain(number))
            self.over.wait(max(0.5, self.members / 2000))

    def redrive(self) -> None:
        """Redrive all dead members."""
        words = ["--stage", "local", "dlq", "redrive", own.MEMBERS, "--yes"]
        subprocess.run([self.clone / ".venv" / "bin" / "celeriac", *words], cwd=self.clone, check=False)
        self.facts["redrives typed"] += 1

    def wait(self, what: str, is_there: Callable[[], object], every: float = 2.0) -> None:
        """Wait for something. Raises TimeoutError if the time runs out first."""
        while not is_there():
            if time.monotonic() - self.started > LIMIT_SECONDS:
                raise TimeoutError(f"not there after {LIMIT_SECONDS} s: {what}")
            time.sleep(every)

    def calls(self, which: str, key: str) -> int:
        """How often a callback has taken effect."""
        answer = boto3.client("dynamodb").get_item(
            TableName=scratch.PREFIX + own.TABLE, Key={"pk": {"S": f"{which} {key}"}}, ConsistentRead=True
        )
        return int(answer["Item"]["times"]["N"]) if "Item" in answer else 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def inside(clone: Path, members: int, notes: Path) -> int:
    """Send, kill, wait, redrive, count. Returns the exit code."""
    registry.load()
    run = _Run(clone, notes, members)
    handle = run.tasks.fan_out.enqueue(batch_key=own.MAIN, members=members, rejected=REJECTED, chain=CHAINS)
    with ThreadPoolExecutor(4) as pool:
        beside: list[Future[None]] = [
            pool.submit(each) for each in (run.kill, run.kill_the_producer, run.enqueue_chains, run.seal_and_die)
        ]
        try:
            batch = celeriac.batch_of(handle.result(LIMIT_SECONDS))
            say(f"{run.seconds:4.0f} s  the batch is sealed")
            _redrive(run, batch)
            run.wait("chains", lambda: sum(row["pk"]["S"].startswith("step three") for row in _rows()) > CHAINS, 5.0)
            beside[3].result()
        finally:
            run.over.set()
        for each in beside:
            each.result()
    run.facts["seconds"] = round(run.seconds)
    time.sleep(QUIET_SECONDS)
    run.facts["chains that say that they have succeeded"] = sum(
        chain.status().state == "succeeded" for chain in run.chains
    )
    refused_calls.report_calls(Console())
    run.facts["calls that a role may not make"] = len(noted(log("emulator").read_text(errors="replace").splitlines()))
    return report(_rows(), notes, run.facts, members=members, small=SMALL, chains=CHAINS + 1)


def _redrive(run: _Run, batch: KnownBatch) -> None:
    """Wait until all members have ended, redrive the dead ones, and wait for `then`."""
    said = [0.0]

    def has_ended() -> bool:
        status = batch.status()
        if run.seconds - said[-1] > SAID_SECONDS:
            said.append(run.seconds)
            say(f"{run.seconds:4.0f} s  {status.succeeded} succeeded, {status.dead} dead, {status.missing} missing")
        return not status.missing and run.calls("dead", own.MAIN) > 0

    run.wait("the end of all members", has_ended)
    run.facts["then before the redrive"] += run.calls("then", own.MAIN)
    run.facts["dead members"] = batch.status().dead
    (run.notes / "mended").touch()
    typed_at = -float(REDRIVE_SECONDS)

    def has_come() -> bool:
        nonlocal typed_at
        if run.calls("then", own.MAIN):
            return True
        # Again: messages of the run that was killed may become dead letters later, and those whose workers died.
        if run.seconds - typed_at > REDRIVE_SECONDS:
            typed_at = run.seconds
            run.redrive()
        return False

    run.wait("then", has_come)
    say(f"{run.seconds:4.0f} s  then has come")

    def is_empty() -> bool:
        if scratch.waiting(f"{own.MEMBERS}-dlq"):
            run.redrive()
        return not scratch.waiting(f"{own.MEMBERS}-dlq")

    # A worker that died between sending a letter and recording it has left a superfluous one. A redrive sends one of
    # the two, and what stays is redriven once more.
    run.wait("no dead letters", is_empty)


def _rows() -> list[dict[str, Any]]:
    return scratch.rows(own.TABLE)


def seal_and_die(first: int) -> None:
    """Fill a small batch, and die when it is sealed, before anybody is told."""
    registry.load()
    seal = root.seal

    def sealed(*given: Any) -> None:
        seal(*given)
        os.kill(os.getpid(), signal.SIGKILL)

    root.seal = sealed  # type: ignore[assignment]  # it doesn't come back
    tasks: Any = importlib.import_module("tasks.batches")
    with tasks.begin(own.SEALED, first, first + SMALL) as batch:
        batch.enqueue_many(tasks.add_one, ({"number": first + each, "rejected": False} for each in range(SMALL)))


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Fill batches and enqueue chains while workers are killed at random.")
    parser.add_argument("--members", type=int, default=MEMBERS, help="how many members the batch has")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--notes", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seals", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.seals is not None:
        seal_and_die(chosen.seals)
        return 0
    if chosen.inside:
        return inside(chosen.inside, chosen.members, chosen.notes)
    with tempfile.TemporaryDirectory(prefix="celeriac-batches-") as folder:
        notes = Path(folder)
        arguments = ["--members", str(chosen.members), "--notes", str(notes)]
        fill_seconds = max(30, chosen.members // 50)
        added = own.added(notes, fill_seconds)
        return scratch.run_inside("tests.e2e.batches", arguments, port=PORT, added=added, edits=own.EDITS)


if __name__ == "__main__":
    sys.exit(main())
