"""What one worker and one script can take: a batch of 10,000 messages, a million messages to send, 200 threads.

python benchmarks/scale.py [--batch 10000] [--messages 1000000]

HTTP is stubbed. Each part runs in an interpreter of its own. Memory is the most that this interpreter had. CPU is the
time for one message, divided by that in a run a tenth as large. If work grew with the square, this would be 10.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from figures import as_json
from quiet import say  # before any AWS library
from stub import Stub

from celeriac import Queue, task
from celeriac.aws import sqs
from celeriac.consume.handler import handler
from celeriac.worker.event import Invocation

THREADS = 200
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/celeriac-bench--bench"
queue = Queue("bench", timeout=timedelta(minutes=10), batch_size=10_000, batch_window=timedelta(seconds=5))


@task(queue, delivery="at_least_once")
def count(number: int, note: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Part:
    """The largest resident memory in MB, and the CPU microseconds a message of a small and of a large run."""

    memory_mb: float
    small_us: float
    large_us: float


@dataclass(frozen=True, slots=True)
class Figures:
    """By part: a batch, a stream of `enqueue_many`, and threads that enqueue one by one."""

    batch_size: int
    messages: int
    batch: Part
    stream: Part
    threads: Part


def batch(size: int) -> None:
    """Run a batch of `size` messages."""
    sent_at = f"{datetime.now(UTC).timestamp() * 1000:.0f}"
    records = [
        {
            "messageId": f"m-{number}",
            "receiptHandle": f"h-{number}",
            "body": json.dumps({"task": "count", "args": {"number": number, "note": "x" * 100}}),
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": sent_at},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:celeriac-bench--bench",
        }
        for number in range(size)
    ]
    worker = Invocation("celeriac-bench--bench", "r-1", datetime.now(UTC) + queue.timeout)
    answer: Any = handler({"Records": records}, worker)
    assert not answer["batchItemFailures"]


def stream(size: int) -> None:
    """Send `size` messages from one iterator."""
    items = ({"number": number, "note": "x" * 100} for number in range(size))
    assert count.enqueue_many(items, progress=lambda _: None) == size


def threads(size: int) -> None:
    """Send `size` messages one by one, from 200 threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda number: count.enqueue(number, "x" * 100), range(size)):
            pass


PARTS = {"batch": batch, "stream": stream, "threads": threads}


def part(name: str, size: int) -> Part:
    """Measure one part in this process."""
    stub = Stub()
    stub.register("sqs", "dynamodb")
    sqs.urls[queue.physical_name("bench")] = URL
    run = PARTS[name]
    run(20)  # what is made once

    def microseconds(size: int) -> float:
        started = time.process_time()
        run(size)
        return (time.process_time() - started) / size * 1e6

    small, large = microseconds(size // 10), microseconds(size)
    return Part(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, small, large)


def measure(batch_size: int, messages: int) -> Figures:
    def alone(name: str, size: int) -> Part:
        command = [sys.executable, __file__, "--part", name, "--size", str(size)]
        return Part(**json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))

    threaded = min(messages, 20_000)
    return Figures(
        batch_size, messages, alone("batch", batch_size), alone("stream", messages), alone("threads", threaded)
    )


def table(figures: Figures) -> Iterator[str]:
    sizes = {"batch": figures.batch_size, "stream": figures.messages, "threads": min(figures.messages, 20_000)}
    for name, size in sizes.items():
        one: Part = getattr(figures, name)
        yield (
            f"{name:8} {size:>9,} messages {one.memory_mb:5.0f} MB at most, CPU a message {one.large_us:5.0f} us, "
            f"{one.large_us / one.small_us:.2f} of a tenth as many"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if options.part:
        say(as_json(part(options.part, options.size)))
        return
    figures = measure(options.batch, options.messages)
    say(as_json(figures) if options.json else "\n".join(table(figures)))


if __name__ == "__main__":
    main()
