"""Compares enqueueing by Celeriac, by boto3 alone and by Celery's apply_async: one message at a time, and many.

python benchmarks/enqueue_rate.py [--rounds 15] [--latency-ms 20]

All run in turn, over botocore with stubbed HTTP: CPU with immediate answers, CPU and wall time with each answer after
the given latency. With immediate answers the threads of enqueue_many never wait, so they fight for the interpreter.
boto3 alone sends the arguments as JSON, without id, check or type. For many messages it runs the simplest code, a loop
of batches of ten; threads would make it faster. Celery has no call for many messages. It runs in its own environment,
with the botocore that is installed there.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median

import boto3
from figures import Ratio, as_json, ratio
from quiet import say  # before any AWS library
from stub import Stub

from celeriac import Queue, task
from celeriac.aws import sqs

MESSAGES, SLOW_MESSAGES = 300, 20
SLOW_MANY = 400
RIVALS = Path(__file__).resolve().parent / "versus"
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/celeriac-bench--bench"
queue = Queue("bench", timeout=timedelta(seconds=30))


@task(queue, key="payment_id")
def pay(payment_id: str, order_id: str, amount_cents: int, note: str = "") -> None: ...


def arguments(number: int) -> dict[str, object]:
    return {"payment_id": f"p-{number}", "order_id": "o-1", "amount_cents": 500, "note": "x" * 100}


def ours(count: int) -> None:
    for number in range(count):
        pay.enqueue(payment_id=f"p-{number}", order_id="o-1", amount_cents=500, note="x" * 100)


def ours_many(count: int) -> None:
    pay.enqueue_many(arguments(number) for number in range(count))


class Boto3:
    """boto3 alone, with a default client."""

    def __init__(self) -> None:
        self._sqs = boto3.client("sqs")

    def one_by_one(self, count: int) -> None:
        for number in range(count):
            self._sqs.send_message(QueueUrl=URL, MessageBody=json.dumps(arguments(number)))

    def many(self, count: int) -> None:
        for start in range(0, count, 10):
            entries = [{"Id": f"{i}", "MessageBody": json.dumps(arguments(start + i))} for i in range(10)]
            self._sqs.send_message_batch(QueueUrl=URL, Entries=entries)  # type: ignore[arg-type]  # wants a TypedDict


@contextmanager
def celery(latency_seconds: float) -> Iterator[Callable[[int], tuple[float, float]]]:
    """Celery in its own interpreter. Yields a function: number of messages -> CPU and wall seconds."""
    command = [str(RIVALS / ".venv" / "bin" / "python"), str(RIVALS / "enqueue_celery.py"), str(latency_seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        to, back = process.stdin, process.stdout

        def measured(count: int) -> tuple[float, float]:
            to.write(f"{count}\n")
            to.flush()
            cpu, wall = back.readline().split()
            return float(cpu), float(wall)

        try:
            yield measured
        finally:
            to.close()


def timed(enqueue: Callable[[int], None], count: int) -> tuple[float, float]:
    """CPU seconds of all threads, and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    enqueue(count)
    return time.process_time() - cpu, time.perf_counter() - wall


@dataclass(frozen=True, slots=True)
class Figures:
    """Microseconds a message, and ratios of the cost of a message."""

    latency_ms: float
    microseconds: dict[str, float]
    cpu_one: Ratio
    """enqueue divided by send_message."""
    cpu_many: Ratio
    """enqueue_many divided by a loop of send_message_batch."""
    cpu_many_waiting: Ratio
    """The same with latency."""
    cpu_celery: Ratio
    """apply_async divided by enqueue."""
    wall_one: Ratio
    wall_many: Ratio
    """enqueue_many divided by a loop of send_message_batch, with latency."""
    wall_celery_many: Ratio
    """A loop of apply_async divided by enqueue_many, with latency."""


def measure(rounds: int = 15, latency_ms: float = 20) -> Figures:
    stub = Stub()
    stub.register("sqs")
    sqs.urls[queue.physical_name("bench")] = URL
    plain = Boto3()
    cpu: dict[str, list[float]] = {name: [] for name in ("boto3", "celeriac", "boto3 many", "celeriac many", "celery")}
    wall: dict[str, list[float]] = {name: [] for name in cpu}
    waiting: dict[str, list[float]] = {name: [] for name in cpu}
    with celery(0) as quick:
        for number in range(rounds + 1):
            round_ = {
                "boto3": timed(plain.one_by_one, MESSAGES),
                "celeriac": timed(ours, MESSAGES),
                "celery": quick(MESSAGES),
                "boto3 many": timed(plain.many, MESSAGES),
                "celeriac many": timed(ours_many, MESSAGES),
            }
            for name, (seconds, _) in round_.items() if number else ():  # the first round only warms up
                cpu[name].append(seconds / MESSAGES * 1e6)
    stub.latency_seconds = latency_ms / 1000
    with celery(stub.latency_seconds) as slow:
        for _ in range(max(3, rounds // 3)):
            wall["boto3"].append(timed(plain.one_by_one, SLOW_MESSAGES)[1] / SLOW_MESSAGES)
            wall["celeriac"].append(timed(ours, SLOW_MESSAGES)[1] / SLOW_MESSAGES)
            wall["celery"].append(slow(SLOW_MESSAGES)[1] / SLOW_MESSAGES)
            for name, many in (("boto3 many", plain.many), ("celeriac many", ours_many)):
                seconds, passed = timed(many, SLOW_MANY)
                waiting[name].append(seconds / SLOW_MANY)
                wall[name].append(passed / SLOW_MANY)
    return Figures(
        latency_ms,
        {name: median(values) for name, values in cpu.items()},
        cpu_one=ratio(cpu["celeriac"], cpu["boto3"]),
        cpu_many=ratio(cpu["celeriac many"], cpu["boto3 many"]),
        cpu_many_waiting=ratio(waiting["celeriac many"], waiting["boto3 many"]),
        cpu_celery=ratio(cpu["celery"], cpu["celeriac"]),
        wall_one=ratio(wall["celeriac"], wall["boto3"]),
        wall_many=ratio(wall["celeriac many"], wall["boto3 many"]),
        wall_celery_many=ratio(wall["celery"], wall["celeriac many"]),
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
    for name, microseconds in found.microseconds.items():
        say(f"{name:14} median {microseconds:6.0f} us CPU a message")
    say(f"CPU: enqueue / send_message {found.cpu_one}; apply_async / enqueue {found.cpu_celery}")
    say(f"CPU: enqueue_many / a loop of send_message_batch {found.cpu_many}")
    say(f"  at {found.latency_ms:.0f} ms a call {found.cpu_many_waiting}")
    say(f"wall at {found.latency_ms:.0f} ms a call: enqueue / send_message {found.wall_one}")
    say(f"  enqueue_many / a loop of send_message_batch {found.wall_many}")
    say(f"  a loop of apply_async / enqueue_many {found.wall_celery_many}")


if __name__ == "__main__":
    main()
