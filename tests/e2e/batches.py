"""A batch of 10,000 members and 30 chains, on the local cloud, by the real `cdk deploy`, while workers are killed.

make batches                                            many minutes
.venv/bin/python -m tests.e2e.batches --members 200     a short run

The worker of the task that fills the batch is killed when half of the members are sent, so the batch begins anew. Some
members are rejected until they are pardoned: they call `dead`. Then `celeriac dlq redrive` brings `then`.
"""

import argparse
import importlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3

from celeriac.declare import registry
from tests.support import scratch
from tests.support.scratch import say

MEMBERS, CHAINS, PORT = 10_000, 30, 4790
REFUSED = 3
"""The last ones are rejected, so that they are sent in the second filling only."""
FILLS, RUNS, CALLS = "batch-fills", "batch-runs", "batch-calls"
QUIET_SECONDS = 5.0
KILL_SECONDS = (1.0, 4.0)
GROWN_SECONDS = 3.0
"""A younger worker may not have begun with its first task."""

QUEUES = f"""
from datetime import timedelta

from celeriac import Queue

batch_fills = Queue("{FILLS}", timeout=timedelta(seconds=FILL_SECONDS), max_concurrency=2)
batch_runs = Queue("{RUNS}", concurrency=10, max_concurrency=4, timeout=timedelta(seconds=10))
batch_calls = Queue("{CALLS}", timeout=timedelta(seconds=10), max_concurrency=2)
"""
TABLES = """
from celeriac import Table

tally = Table("tally")
"""
END = "    return application\n"
GIVE = f'    for queue in ["{FILLS}", "{RUNS}", "{CALLS}"]:\n        application.queue(queue).table("tally")\n'
TASKS = '''
"""A batch, what it calls, and chains. Each effect is counted in a table."""

import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import celeriac
from celeriac import RESULT, Context, Reject, task
from tasks.queues import batch_calls, batch_fills, batch_runs

FOLDER = Path("{folder}")


def _note(name: str, text: str) -> None:
    file = os.open(FOLDER / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{{text}}\\n".encode())
    os.close(file)


@task(batch_runs, key="number")
def run_member(ctx: Context, number: int, refused: bool) -> None:
    _note("runs", str(number))
    if refused and not (FOLDER / "pardon").exists():
        raise Reject("not before it is pardoned")
    time.sleep(0.3)  # the time to die in
    with ctx.transaction() as tx:
        tx.update("tally", key={{"pk": f"member {{number}}"}}, add={{"times": 1}})


@task(batch_calls)
def all_ran(ctx: Context) -> None:
    batch = ctx.batch
    assert batch is not None
    status = batch.status()
    told = {{"id": batch.id, "state": status.state, "total": status.total}}
    told |= {{"missing": status.missing, "dead": status.dead}}
    with ctx.transaction() as tx:
        tx.update("tally", key={{"pk": "then"}}, add={{"times": 1}}, set=told)


@task(batch_calls)
def one_died(ctx: Context) -> None:
    with ctx.transaction() as tx:
        tx.update("tally", key={{"pk": "dead"}}, add={{"times": 1}})


@task(batch_fills)
def fill(members: int, refused: int) -> None:
    _note("fills", "begun")
    half = members // 2
    with celeriac.batch(then=all_ran.bind(), dead=one_died.bind(), key="all") as batch:
        batch.enqueue_many(run_member, ({{"number": number, "refused": False}} for number in range(half)))
        _note("fills", "half")
        time.sleep(3)  # the time to die in
        rest = ({{"number": number, "refused": number >= members - refused}} for number in range(half, members))
        batch.enqueue_many(run_member, rest)
    _note("fills", "filled")


def _step(ctx: Context, number: int, step: int, got: str) -> str:
    made = uuid4().hex
    with ctx.transaction() as tx:
        key = {{"pk": f"chain {{number}}/{{step}}"}}
        tx.update("tally", key=key, add={{"times": 1}}, set={{"got": got, "made": made}})
        tx.result(made)
    return made


@task(batch_fills)
def first_step(ctx: Context, number: int) -> str:
    return _step(ctx, number, 0, "")


@task(batch_runs)
def second_step(ctx: Context, number: int, got: str) -> str:
    return _step(ctx, number, 1, got)


@task(batch_calls)
def third_step(ctx: Context, number: int, got: str) -> str:
    return _step(ctx, number, 2, got)


def start_chain(number: int) -> Any:
    steps = second_step.bind(number=number, got=RESULT), third_step.bind(number=number, got=RESULT)
    return celeriac.chain(first_step.bind(number=number), *steps).enqueue()
'''


def inside(clone: Path, members: int, folder: Path) -> int:
    """Fill, kill, redrive, count. Returns the exit code."""
    registry.load()
    tasks: Any = importlib.import_module("tasks.batched")
    until = time.monotonic() + 300 + members / 5
    started, over = time.monotonic(), threading.Event()
    tasks.fill.enqueue(members=members, refused=REFUSED)
    died = _kill_in_the_middle(clone, folder, until)
    say(f"the worker that filled the batch was killed {died} times, {time.monotonic() - started:.0f} s")
    with ThreadPoolExecutor(1) as pool:
        kills = pool.submit(_kill, clone, over)
        try:
            chains = [tasks.start_chain(number) for number in range(CHAINS)]
            quiet = _wait("filled", lambda: "filled" in _noted(folder, "fills"), folder, until)
            say(f"filled after {time.monotonic() - started:.0f} s")
            quiet = quiet and _wait_until_quiet(folder, until)
            letters = scratch.waiting(f"{RUNS}-dlq")
            early = _tally()
            say(f"quiet after {time.monotonic() - started:.0f} s, with {letters} dead letters")
            (folder / "pardon").touch()
            _redrive(clone)
            quiet = quiet and _wait("then", lambda: "then" in _tally(), folder, until)
            quiet = quiet and _wait_until_quiet(folder, until)
        finally:
            over.set()
        killed = kills.result()

    minutes = (time.monotonic() - started) / 60
    tally = _tally()
    counts = [_times(tally, f"member {number}") for number in range(members)]
    then = tally.get("then", {})
    steps = [[tally.get(f"chain {number}/{step}", {}) for step in range(3)] for number in range(CHAINS)]
    fillings = _noted(folder, "fills").count("begun")
    deaths = sum(_deaths(queue) for queue in (FILLS, RUNS, CALLS))
    found = {
        "members": members,
        "chains": CHAINS,
        "killed": killed + died,
        "deaths_at_work": deaths,
        "minutes": round(minutes, 1),
        "bodies_begun_again": len(_noted(folder, "runs")) - members - letters,
        "fillings": fillings,
    }
    say(json.dumps(found))
    return scratch.verdict(
        {
            "quiet in the end": (int(quiet), 1),
            "killed in the middle of filling": (died, 1),
            "fillings": (fillings, 2),
            "at least three deaths at work": (int(deaths >= 3 or members < MEMBERS), 1),
            "members that took effect exactly once": (counts.count(1), members),
            "`then`": (_times(tally, "then"), 1),
            "`then` before the redrive": (_times(early, "then"), 0),
            "members at `then`": (_number(then, "total"), members),
            "of them, missing": (_number(then, "missing"), 0),
            "of them, dead": (_number(then, "dead"), 0),
            "dead letters before the redrive": (letters, REFUSED),
            "`dead` before the redrive": (_times(early, "dead"), 1),
            "`dead`": (_times(tally, "dead"), 1),
            "chains' steps that took effect exactly once": (
                sum(_number(step, "times") == 1 for chain in steps for step in chain),
                CHAINS * 3,
            ),
            "steps that got the recorded result": (sum(_fitting(chain) for chain in steps), CHAINS * 2),
            "chains that say that they have succeeded": (
                sum(chain.status().state == "succeeded" for chain in chains),
                CHAINS,
            ),
            "dead letters in the end": (sum(scratch.waiting(f"{queue}-dlq") for queue in (FILLS, RUNS, CALLS)), 0),
        }
    )


def _tally() -> dict[str, dict[str, Any]]:
    return {row["pk"]["S"]: row for row in scratch.rows("tally")}


def _number(row: dict[str, Any], name: str) -> int:
    """A number of a row; -1 without it."""
    return int(row[name]["N"]) if name in row else -1


def _times(tally: dict[str, dict[str, Any]], name: str) -> int:
    return int(tally[name]["times"]["N"]) if name in tally else 0


def _fitting(chain: Sequence[dict[str, Any]]) -> int:
    """How many of the later steps got what the step before has recorded."""
    return sum("made" in before and before["made"] == step.get("got") for before, step in pairwise(chain))


def _noted(folder: Path, name: str) -> list[str]:
    file = folder / name
    return file.read_text().splitlines() if file.exists() else []


def _kill_in_the_middle(clone: Path, folder: Path, until: float) -> int:
    """Kill the worker that fills the batch when it has sent half of it. Returns how many were killed."""
    while time.monotonic() < until:
        if "half" in _noted(folder, "fills"):
            return min(scratch.kill(scratch.workers(clone, scratch.PREFIX + FILLS)), 1)
        time.sleep(0.1)
    return 0


def _kill(clone: Path, over: threading.Event) -> int:
    """Kill one random worker of members or callbacks at a time until `over` is set. Returns how many were killed."""
    killed = 0
    seen: dict[int, float] = {}
    while not over.wait(random.uniform(*KILL_SECONDS)):
        now = time.monotonic()
        running = [pid for queue in (RUNS, CALLS) for pid in scratch.workers(clone, scratch.PREFIX + queue)]
        seen = {pid: seen.get(pid, now) for pid in running}
        grown = [pid for pid, since in seen.items() if now - since > GROWN_SECONDS]
        killed += scratch.kill([random.choice(grown)]) if grown else 0
    return killed


def _deaths(queue: str) -> int:
    """How many invocations a kill has ended. Between two invocations a kill harms nobody."""
    pages = (
        boto3.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=f"/aws/lambda/{scratch.PREFIX}{queue}", filterPattern='"Worker process died"')
    )
    return sum(len(page["events"]) for page in pages)


def _redrive(clone: Path) -> None:
    command = [".venv/bin/celeriac", "--stage", "local", "dlq", "redrive", RUNS, "--yes"]
    say(f"$ {' '.join(command)}")
    subprocess.run(command, cwd=clone, check=True)


def _wait_until_quiet(folder: Path, until: float) -> bool:
    """Wait until the three queues have been empty for `QUIET_SECONDS`. False if the time ran out first."""
    since: float | None = None

    def is_quiet() -> bool:
        nonlocal since
        left = sum(scratch.waiting(queue) for queue in (FILLS, RUNS, CALLS))
        since = (since or time.monotonic()) if not left else None
        return since is not None and time.monotonic() - since > QUIET_SECONDS

    return _wait("quiet", is_quiet, folder, until)


def _wait(what: str, happened: Callable[[], bool], folder: Path, until: float) -> bool:
    """Wait for something, and say how far the members are. False if the time ran out first."""
    said = time.monotonic()
    while (now := time.monotonic()) < until:
        if happened():
            return True
        if now - said > 10:
            said = now
            left = [f"{scratch.waiting(queue)} on {queue}" for queue in (FILLS, RUNS, CALLS)]
            say(f"waiting for {what}: {len(_noted(folder, 'runs'))} members begun, left {', '.join(left)}")
        time.sleep(1)
    return False


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Run a batch and chains while workers are killed at random.")
    parser.add_argument("--members", type=int, default=MEMBERS, help="how many members the batch has")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        return inside(chosen.inside, chosen.members, chosen.folder)
    with tempfile.TemporaryDirectory(prefix="celeriac-batches-") as folder:
        added = {
            # The second filling begins after six times as long: then the message of the first one is visible again.
            "functions/tasks/queues.py": QUEUES.replace("FILL_SECONDS", str(10 + chosen.members // 200)),
            "functions/tasks/tables.py": TABLES,
            "functions/tasks/batched.py": TASKS.format(folder=folder),
        }
        arguments = ["--members", str(chosen.members), "--folder", folder]
        edits = {"infra/application.py": [(END, GIVE + END)]}
        return scratch.run_inside("tests.e2e.batches", arguments, port=PORT, added=added, edits=edits)


if __name__ == "__main__":
    sys.exit(main())
