"""Compares the consumer's own work for each message with that of consumers written by hand on the same store.

python benchmarks/consumer_cpu.py [--rounds 15] [--latency-ms 20]

One is made with Powertools ("bare"), one with boto3 alone. It has no lease and no fence: after a crash, its message is
never run again. All handle the same batches of ten in turn, over botocore with stubbed HTTP. CPU: every call is
answered at once, so only their own work and botocore's is measured; and again with each answer after the given latency,
as no network answers at once. Wall: with the latency, on a queue that runs its tasks one by one, as the others do, and
on one with concurrency=10. Last: the time of ten waiting tasks that run side by side.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any

from bare import MESSAGES, Context, bare_consumer, boto3_consumer, event, payments
from figures import Ratio, as_json, ratio
from quiet import say  # before any AWS library
from stub import Stub

from celeriac import Queue, task
from celeriac.consume import handler as consumer

BATCHES = 40
queue = Queue("bench", timeout=timedelta(seconds=30))
wide = Queue("wide", timeout=timedelta(seconds=30), concurrency=10)


@task(queue, key="payment_id", former_queues=[wide])
def pay(payment_id: str, order_id: str, amount_cents: int, note: str = "") -> dict[str, str]:
    return {"charge": order_id}


@task(wide, key="number")
def wait(number: int) -> None:
    time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Figures:
    """Ratios are Celeriac's figure divided by the bare consumer's, `cpu_boto3` by that of the one with boto3 alone."""

    latency_ms: float
    bare_microseconds: float
    boto3_microseconds: float
    our_microseconds: float
    cpu: Ratio
    cpu_boto3: Ratio
    cpu_waiting: Ratio
    """CPU with latency."""
    wall: Ratio
    wall_side_by_side: Ratio
    ten_waits_ms: float
    """For ten tasks that each wait 100 ms, with concurrency 10."""


def cpu(handler: Callable[[Any, Any], Any], events: Sequence[dict[str, Any]]) -> float:
    """Microseconds of CPU for each message, of all threads."""
    started = time.process_time()
    for batch in events:
        assert handler(batch, Context()) == {"batchItemFailures": []}
    return (time.process_time() - started) / (len(events) * MESSAGES) * 1e6


def wall(handler: Callable[[Any, Any], Any], batch: dict[str, Any]) -> float:
    """Milliseconds of wall time for one batch."""
    return wall_and_cpu(handler, batch)[0]


def wall_and_cpu(handler: Callable[[Any, Any], Any], batch: dict[str, Any]) -> tuple[float, float]:
    """Milliseconds for one batch: of wall time, and of CPU in all threads."""
    started, used = time.perf_counter(), time.process_time()
    assert handler(batch, Context()) == {"batchItemFailures": []}
    return (time.perf_counter() - started) * 1000, (time.process_time() - used) * 1000


def measure(rounds: int = 15, latency_ms: float = 20) -> Figures:
    stub = Stub()
    events = [payments("celeriac-bench--bench", batch) for batch in range(BATCHES)]
    side_by_side = payments("celeriac-bench--wide")
    bare, alone = bare_consumer(stub), boto3_consumer(stub)  # the stub answers clients that are made after this
    sides = (bare, alone, consumer.handler)
    for side in sides:
        cpu(side, events[:3])
    theirs, theirs_alone, ours = zip(*(tuple(cpu(side, events) for side in sides) for _ in range(rounds)), strict=True)

    stub.latency_seconds = latency_ms / 1000
    walls = [
        (
            *wall_and_cpu(bare, events[0]),
            *wall_and_cpu(consumer.handler, events[0]),
            wall(consumer.handler, side_by_side),
        )
        for _ in range(rounds)
    ]
    slow, waiting, slow_ours, waiting_ours, slow_side_by_side = zip(*walls, strict=True)

    stub.latency_seconds = 0
    ten = event("celeriac-bench--wide", [{"task": "wait", "args": {"number": i}} for i in range(10)])
    return Figures(
        latency_ms,
        median(theirs),
        median(theirs_alone),
        median(ours),
        cpu=ratio(ours, theirs),
        cpu_boto3=ratio(ours, theirs_alone),
        cpu_waiting=ratio(waiting_ours, waiting),
        wall=ratio(slow_ours, slow),
        wall_side_by_side=ratio(slow_side_by_side, slow),
        ten_waits_ms=median(wall(consumer.handler, ten) for _ in range(5)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    options = parser.parse_args()
    found = measure(options.rounds, options.latency_ms)
    if options.json:
        say(as_json(found))
        return
    say(f"bare Powertools consumer  median {found.bare_microseconds:6.0f} us CPU a message")
    say(f"Celeriac's consumer       median {found.our_microseconds:6.0f} us CPU a message")
    say(f"a consumer of boto3 alone median {found.boto3_microseconds:6.0f} us CPU a message")
    say(f"CPU, ours divided by the bare consumer's: {found.cpu}")
    say(f"CPU, ours divided by that of boto3 alone: {found.cpu_boto3}")
    say(f"CPU at {found.latency_ms:.0f} ms a call, ours divided by the bare consumer's: {found.cpu_waiting}")
    say(f"wall of a batch at {found.latency_ms:.0f} ms a call: {found.wall}")
    say(f"  the same with concurrency=10: {found.wall_side_by_side}")
    say(f"ten tasks that each wait 100 ms, concurrency 10: median {found.ten_waits_ms:.0f} ms an invocation")


if __name__ == "__main__":
    main()
