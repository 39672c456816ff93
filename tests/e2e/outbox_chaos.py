"""2,000 transactions from eight threads on the local cloud, while the relay's workers are killed at random.

.venv/bin/python -m tests.e2e.outbox_chaos

It runs in a copy of this clone, with its own two queues and tasks. Every event must reach both of its subscribers, take
effect exactly once, and on the FIFO queue in the order of its aggregate. At the end the counts are printed. The exit
code is 1 if one of them is wrong. It takes minutes: the emulator delivers a FIFO queue batch by batch.
"""

import json
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from celeriac import transaction
from celeriac.declare import registry
from celeriac.model import names
from celeriac.relay import unpublished
from tests.support import scratch
from tests.support.scratch import rows, say

THREADS, AGGREGATES, EVENTS = 8, 5, 50
KILLS = 80  # they take more than a minute, so the sweeper runs too
PORT = 4666
QUEUES = """
from celeriac import Queue

chaos_ledger = Queue("chaos-ledger", fifo=True, concurrency=10)
chaos_counts = Queue("chaos-counts", concurrency=10)
"""
TABLES = """
from celeriac import Table

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
GRANTS = """
    for queue in ("chaos-ledger", "chaos-counts"):
        application.queue(queue).table("chaos")
    return application
"""


def main() -> int:
    """Run in a copy that has its own tasks."""
    added = {"queues.py": QUEUES, "tables.py": TABLES, "chaos.py": TASKS}
    added = {f"functions/tasks/{name}": text for name, text in added.items()}
    edits = {"infra/application.py": [("    return application\n", GRANTS)]}
    return scratch.run_inside("tests.e2e.outbox_chaos", [], port=PORT, added=added, edits=edits)


def inside(clone: Path) -> int:
    """Send, kill, wait, count. Returns the exit code."""
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
        while not sent.is_set() or killed < KILLS:
            time.sleep(random.uniform(0.1, 0.5))
            killed += scratch.kill(scratch.workers(clone, names.relay_function("local")))
        return killed

    with ThreadPoolExecutor(THREADS + 1) as pool:
        kills = pool.submit(kill)
        writers = [pool.submit(write, thread) for thread in range(THREADS)]
        for writer in writers:
            writer.result()
        sent.set()
        writing = time.monotonic() - started
        killed = kills.result()

    total = THREADS * AGGREGATES * EVENTS

    def effects() -> tuple[dict[str, int], dict[str, int]]:
        found = {row["pk"]["S"]: int(row["times"]["N"]) for row in rows("chaos") if "times" in row}
        return (
            {pk: times for pk, times in found.items() if pk.startswith("ledger ")},
            {pk: times for pk, times in found.items() if pk.startswith("count ")},
        )

    while time.monotonic() - started < 900:
        ledger, counts = effects()
        if sum(ledger.values()) >= total and len(counts) >= total and unpublished.lag() == (None, 0):
            break
        time.sleep(2)
    time.sleep(15)  # time for a second effect, if there is one
    ledger, counts = effects()
    outbox = rows("outbox")
    dead = sum(scratch.waiting(queue) for queue in ("chaos-ledger-dlq.fifo", "chaos-counts-dlq"))
    swept = sum(_swept())
    facts = {
        "transactions committed": (sum(row["pk"]["S"].startswith("order ") for row in rows("chaos")), total),
        "events in the outbox": (len(outbox), total),
        "of them, published": (sum("published_at" in row for row in outbox), total),
        "effects on the FIFO queue, in order": (sum(ledger.values()), total),
        "aggregates whose last event is the last one": (
            sum(int(row["last"]["N"]) == EVENTS - 1 for row in rows("chaos") if "last" in row),
            THREADS * AGGREGATES,
        ),
        "events that took effect on the standard queue": (len(counts), total),
        "of them, exactly once": (sum(times == 1 for times in counts.values()), total),
        "dead letters": (dead, 0),
    }
    say(f"{total} transactions in {writing:.0f} s, relay workers killed {killed} times, {swept} events swept up,")
    say(f"quiet after {time.monotonic() - started:.0f} s")
    return scratch.verdict(facts)


def _swept() -> list[int]:
    """How many events each sweep published, by the sweeper's log."""
    lines = scratch.logged("sweeper", "rows published")
    return [json.loads(line).get("published", 0) for line in lines]


if __name__ == "__main__":
    sys.exit(inside(Path(sys.argv[2])) if sys.argv[1:2] == ["--inside"] else main())
