"""2,000 transactions from eight threads on the local cloud, while the relay's workers are killed at random.

.venv/bin/python tests/e2e/outbox_chaos.py

In a copy of this clone, with two queues and tasks of its own: every event must reach both of its subscribers, take
effect exactly once, and, on the FIFO queue, in the order of its aggregate. It ends with the counts, and with exit code
1 if one of them is wrong. It takes minutes: the emulator delivers a FIFO queue batch by batch.
"""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3

from celeriac import names, registry, transaction, waiting

ROOT = Path(__file__).resolve().parents[2]
THREADS, AGGREGATES, EVENTS = 8, 5, 50
KILLS = 80  # more than a minute of them: the sweeper has its turn too
PORT = 4666
QUEUES = """
chaos_ledger = Queue("chaos-ledger", fifo=True, concurrency=10)
chaos_counts = Queue("chaos-counts", concurrency=10)
"""
TABLES = """
chaos = Table("chaos")
"""
TASKS = """
from boto3.dynamodb.conditions import Attr

from celeriac import Context, task
from tasks.queues import chaos_counts, chaos_ledger


@task(chaos_ledger, on="chaos.event")
def chaos_book(ctx: Context, aggregate: str, number: int) -> None:
    in_order = Attr("last").not_exists() if number == 0 else Attr("last").eq(number - 1)
    key = {"pk": f"ledger {aggregate}"}
    with ctx.transaction() as tx:
        tx.update("chaos", key=key, set={"last": number}, add={"times": 1}, condition=in_order)


@task(chaos_counts, on="chaos.*")
def chaos_count(ctx: Context, aggregate: str, number: int) -> None:
    with ctx.transaction() as tx:
        tx.update("chaos", key={"pk": f"count {aggregate}/{number}"}, add={"times": 1})
"""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Make the copy, bring up its cloud, run in it, and clear away."""
    with tempfile.TemporaryDirectory(prefix="outbox-chaos-") as folder:
        clone = Path(folder) / "clone"
        listing = ["git", "ls-files", "-coz", "--exclude-standard"]
        files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, files.split("\0")):
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
        for name, text in (("queues.py", QUEUES), ("tables.py", TABLES), ("chaos.py", TASKS)):
            with (clone / "functions" / "tasks" / name).open("a") as file:
                file.write(text)
        try:
            subprocess.run(["make", "up"], cwd=clone, env=os.environ | {"PORT": str(PORT)}, check=True)
            python = clone / ".venv" / "bin" / "python"
            exports = subprocess.run(
                [python, "-m", "local", "env"], cwd=clone, capture_output=True, text=True, check=True
            ).stdout
            lines = [line.removeprefix("export ") for line in exports.splitlines() if line.startswith("export ")]
            there = dict(shlex.split(line)[0].split("=", 1) for line in lines)
            return subprocess.run(
                [python, "tests/e2e/outbox_chaos.py", "--inside", str(clone)],
                cwd=clone,
                env=os.environ | there,
                check=False,
            ).returncode
        finally:
            subprocess.run(["make", "down"], cwd=clone, check=False)


def inside(clone: Path) -> int:
    """Send, kill, wait, count."""
    registry.load()
    started = time.monotonic()
    sent = threading.Event()

    def write(thread: int) -> None:
        for number in range(EVENTS):
            for nth in range(AGGREGATES):
                aggregate = f"{thread}-{nth}"
                with transaction() as tx:
                    tx.put("chaos", {"pk": f"order {aggregate}/{number}"}, condition="attribute_not_exists(pk)")
                    tx.emit("chaos.event", {"aggregate": aggregate, "number": number}, aggregate=aggregate)

    def kill() -> int:
        killed = 0
        marker = f"{clone}/.local/tmp/ministack-lambda-{names.relay_function('local')}-".encode()
        while not sent.is_set() or killed < KILLS:
            time.sleep(random.uniform(0.1, 0.5))
            for process in Path("/proc").iterdir():
                try:
                    if process.name.isdecimal() and marker in (process / "cmdline").read_bytes():
                        os.kill(int(process.name), signal.SIGKILL)
                        killed += 1
                except OSError:
                    continue  # it has gone by itself
        return killed

    with ThreadPoolExecutor(THREADS + 1) as pool:
        killer = pool.submit(kill)
        writers = [pool.submit(write, thread) for thread in range(THREADS)]
        for writer in writers:
            writer.result()
        sent.set()
        writing = time.monotonic() - started
        killed = killer.result()

    total = THREADS * AGGREGATES * EVENTS
    dynamodb = boto3.client("dynamodb")

    def rows(table: str) -> list[dict[str, Any]]:
        pages = dynamodb.get_paginator("scan").paginate(TableName=f"celeriac-local-{table}", ConsistentRead=True)
        return [dict(row) for page in pages for row in page["Items"]]

    def effects() -> tuple[dict[str, int], dict[str, int]]:
        found = {row["pk"]["S"]: int(row["times"]["N"]) for row in rows("chaos") if "times" in row}
        return (
            {pk: times for pk, times in found.items() if pk.startswith("ledger ")},
            {pk: times for pk, times in found.items() if pk.startswith("count ")},
        )

    while time.monotonic() - started < 900:
        ledger, counts = effects()
        if sum(ledger.values()) >= total and len(counts) >= total and waiting.lag() == (None, 0):
            break
        time.sleep(2)
    time.sleep(15)  # what would come twice would come now
    ledger, counts = effects()
    outbox = rows("outbox")
    dead = Counter(
        {
            queue: int(
                boto3.client("sqs").get_queue_attributes(
                    QueueUrl=boto3.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"], AttributeNames=["All"]
                )["Attributes"]["ApproximateNumberOfMessages"]
            )
            for queue in ("celeriac-local-chaos-ledger-dlq.fifo", "celeriac-local-chaos-counts-dlq")
        }
    )
    swept = sum(_swept())
    facts = {
        "transactions committed": (sum(row["pk"]["S"].startswith("order ") for row in rows("chaos")), total),
        "events in the outbox": (len(outbox), total),
        "of them published": (sum("published_at" in row for row in outbox), total),
        "effects on the FIFO queue, in order": (sum(ledger.values()), total),
        "aggregates whose last event is the last one": (
            sum(int(row["last"]["N"]) == EVENTS - 1 for row in rows("chaos") if "last" in row),
            THREADS * AGGREGATES,
        ),
        "events that took effect on the standard queue": (len(counts), total),
        "of them exactly once": (sum(times == 1 for times in counts.values()), total),
        "dead letters": (dead.total(), 0),
    }
    say(f"{total} transactions in {writing:.0f} s, relay workers killed {killed} times, {swept} events swept up,")
    say(f"quiet after {time.monotonic() - started:.0f} s")
    for what, (seen, expected) in facts.items():
        say(f"  {'ok   ' if seen == expected else 'WRONG'} {what}: {seen} of {expected}")
    return 0 if all(seen == expected for seen, expected in facts.values()) else 1


def _swept() -> list[int]:
    """How many events each sweep published, by its log."""
    pages = (
        boto3.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName="/aws/lambda/celeriac-local-sweeper", filterPattern='"events published"')
    )
    lines = [event["message"] for page in pages for event in page["events"] if event["message"].startswith("{")]
    return [json.loads(line).get("published", 0) for line in lines]


if __name__ == "__main__":
    sys.exit(inside(Path(sys.argv[2])) if sys.argv[1:2] == ["--inside"] else main())
