"""A rate, on the local cloud: 2,000 tasks over 50 a second, by the real `cdk deploy`, while workers are killed.

make rates                                             some minutes; writes benchmarks/rates.json and rates.svg
.venv/bin/python -m tests.e2e.rates --tasks 300        a short run; writes nothing

Each task notes when it began. A window may hold `burst + w * 50` starts by the workers' clocks. A task begins a claim
later than its start, so a window is looked at with that much to spare.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from pathlib import Path
from typing import Any

import boto3

from tests.support import scratch
from tests.support.scratch import say

TASKS, PORT = 2000, 4720
A_SECOND, BURST = 50, 50
CLAIM_SECONDS = 0.5
"""On two cores that the emulator and all workers share, a claim may take so long."""
LIMIT_SECONDS = 600
QUIET_SECONDS = 5.0
KILL_SECONDS = (2.0, 6.0)
GROWN_SECONDS = 3.0
QUEUE = "paced"
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

QUEUES = f"""
from datetime import timedelta

from celeriac import Queue

paced = Queue("{QUEUE}", concurrency=10, max_concurrency=4, timeout=timedelta(seconds=4))
"""
LIMITS = f'''
"""What a provider takes."""

from celeriac import Rate

fifty = Rate("fifty", {A_SECOND}, burst={BURST})
'''
TASK = '''
"""A task that can do no more than fifty a second."""

import os
import time

from celeriac import task
from tasks.limits import fifty
from tasks.queues import paced


@task(paced, limits=[fifty])
def note(number: int) -> None:
    line = f"{{time.time():.6f}} {{number}}\\n".encode()
    file = os.open("{file}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)
'''


def inside(clone: Path, tasks: int, notes: Path, benchmarks: Path) -> int:
    """Send, kill, wait, count. Returns the exit code."""
    started, over = time.monotonic(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        kills = pool.submit(_kill, clone, over)
        try:
            _send(tasks)
            sending = time.monotonic() - started
            quiet = _wait(started, notes, tasks)
        finally:
            over.set()
        killed = kills.result()
    lines = [line.split() for line in notes.read_text().splitlines()]
    starts = sorted(float(when) for when, _ in lines)
    done = len({number for _, number in lines})
    seconds = Counter(int(start - starts[0]) for start in starts)
    busiest = most_in_a_window(starts)
    took = starts[-1] - starts[0]
    say(f"{tasks} tasks sent in {sending:.0f} s, workers killed {killed} times, {'quiet' if quiet else 'NOT QUIET'}")
    say(f"{len(starts)} starts in {took:.1f} s, {len(starts) / took:.1f} a second; most over the bound: {busiest:+.1f}")
    found = {
        "tasks": tasks,
        "killed": killed,
        "starts": len(starts),
        "seconds": round(took, 1),
        "over": round(busiest, 1),
        "by_second": [seconds[second] for second in range(max(seconds) + 1)],
    }
    say(json.dumps(found))
    if tasks == TASKS:
        (benchmarks / "rates.json").write_text(json.dumps(found) + "\n")
        (benchmarks / "rates.svg").write_text(picture(found))
    letters = scratch.waiting(f"{QUEUE}-dlq")
    return scratch.verdict(
        {
            "tasks that ran": (done, tasks),
            "dead letters": (letters, 0),
            "windows above the bound": (int(busiest > CLAIM_SECONDS * A_SECOND), 0),
            "quiet in the end": (int(quiet), 1),
        }
    )


def most_in_a_window(starts: Sequence[float]) -> float:
    """By how many starts the busiest window is above `burst + w * rate`; below zero if none is."""
    virtual, most = 0.0, -float(BURST)
    for start in starts:
        virtual = max(virtual, start) + 1 / A_SECOND
        most = max(most, (virtual - start) * A_SECOND - BURST)
    return most


def _send(tasks: int) -> None:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=scratch.PREFIX + QUEUE)["QueueUrl"]
    for ten in batched(range(tasks), 10):
        entries: Any = [
            {"Id": str(number), "MessageBody": json.dumps({"task": "note", "args": {"number": number}})}
            for number in ten
        ]
        if failed := sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed"):
            raise RuntimeError(f"SQS refused a message: {failed[0]}")


def _kill(clone: Path, over: threading.Event) -> int:
    """Kill one random worker of the queue at a time until `over` is set. Returns how many were killed."""
    killed = 0
    seen: dict[int, float] = {}
    while not over.wait(random.uniform(*KILL_SECONDS)):
        now = time.monotonic()
        seen = {pid: seen.get(pid, now) for pid in scratch.workers(clone, scratch.PREFIX + QUEUE)}
        grown = [pid for pid, since in seen.items() if now - since > GROWN_SECONDS]
        killed += scratch.kill([random.choice(grown)]) if grown else 0
    return killed


def _wait(started: float, notes: Path, tasks: int) -> bool:
    """Wait until the queue has been empty for `QUIET_SECONDS`. False if the time ran out first."""
    quiet_since: float | None = None
    said = started
    while time.monotonic() - started < LIMIT_SECONDS:
        left, now = scratch.waiting(QUEUE), time.monotonic()
        quiet_since = (quiet_since or now) if not left else None
        if quiet_since is not None and now - quiet_since > QUIET_SECONDS:
            return True
        if now - said > 10:
            said = now
            begun = notes.read_text().count("\n") if notes.exists() else 0
            say(f"{now - started:4.0f} s  {begun} starts of {tasks} tasks, {left} messages left")
        time.sleep(1)
    return False


def picture(found: dict[str, Any]) -> str:
    """The starts of each second as columns, with a line at the rate, as SVG."""
    counts: list[int] = found["by_second"]
    width, height, left, bottom = 900, 260, 50, 220
    column = (width - left - 20) / max(len(counts), 1)
    most = max(*counts, A_SECOND + BURST)
    scale = (bottom - 50) / most
    line = bottom - A_SECOND * scale
    title = (
        f"{found['tasks']:,} tasks over {A_SECOND} a second, {found['killed']} workers killed: starts in each second"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        '<g font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="bold">{title}</text>',
        *(
            f'<rect x="{left + number * column:.1f}" y="{bottom - count * scale:.1f}" '
            f'width="{max(column - 1, 0.5):.1f}" height="{count * scale:.1f}" fill="#2a7f62"/>'
            for number, count in enumerate(counts)
        ),
        f'<line x1="{left}" x2="{width - 20}" y1="{line:.1f}" y2="{line:.1f}" stroke="#b4542b"/>',
        f'<text x="{left - 8}" y="{line + 4:.1f}" text-anchor="end">{A_SECOND}</text>',
        f'<text x="{left - 8}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{left}" y="{bottom + 22}" fill="#555555">seconds since the first start, to {len(counts) - 1}</text>',
        "</g></svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Run tasks over a rate while workers are killed at random.")
    parser.add_argument("--tasks", type=int, default=TASKS, help="how many tasks to send")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--notes", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--benchmarks", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        return inside(chosen.inside, chosen.tasks, chosen.notes, chosen.benchmarks)
    with tempfile.TemporaryDirectory(prefix="celeriac-rates-") as folder:
        notes = Path(folder) / "starts.txt"
        added = {
            "functions/tasks/queues.py": QUEUES,
            "functions/tasks/limits.py": LIMITS,
            "functions/tasks/paced.py": TASK.format(file=notes),
        }
        arguments = ["--tasks", str(chosen.tasks), "--notes", str(notes), "--benchmarks", str(BENCHMARKS)]
        return scratch.run_inside("tests.e2e.rates", arguments, port=PORT, added=added, edits={})


if __name__ == "__main__":
    sys.exit(main())
