"""The relay's cost for each event: AWS calls, CPU, and how many events a second one worker publishes.

python benchmarks/relay_throughput.py [--rounds 5] [--latency-ms 20]

Batches of 100 events with one, three and ten subscribers, each on its own queue, over botocore with stubbed HTTP: every
call is answered after the given latency. One shard of the stream feeds one worker, so the figures are those of a shard.
The plain way, for comparison, makes one call for each message and one for each mark.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any

from bare import Context
from figures import Ratio, as_json, ratio
from quiet import say  # before any AWS library
from stub import Stub

from celeriac import Queue, Task, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.enqueue.outbox_row import new_row, read
from celeriac.relay import handler as relay
from celeriac.relay.parcels import parcels

EVENTS = 100
stub = Stub()


@dataclass(frozen=True, slots=True)
class Figures:
    """For one number of subscribers."""

    subscribers: int
    calls: dict[str, int]
    """AWS calls of a batch."""
    fewer: float
    """The plain way's calls divided by ours."""
    faster: Ratio
    """The plain way's time divided by ours."""
    cpu_microseconds: float
    """For an event."""
    events_a_second: float


@dataclass(frozen=True, slots=True)
class Report:
    latency_ms: float
    by_subscribers: list[Figures]


def subscribe(count: int) -> None:
    """Subscribe `count` tasks, each on its own queue, to `bench.event`."""
    registry.tasks.clear()
    for number in range(count):

        @task(Queue(f"q{number}", timeout=timedelta(seconds=30)), name=f"hear_{number}", on="bench.event")
        def hear(number: int, note: str = "") -> None: ...

        sqs.urls[f"celeriac-bench--q{number}"] = f"https://sqs.eu-west-1.amazonaws.com/123456789012/q{number}"


def batch() -> dict[str, Any]:
    """The event that Lambda makes from 100 rows of 25 aggregates."""
    images = [
        new_row("bench.event", f"item-{i % 25}", data=json.dumps({"number": i, "note": "x" * 200}))
        for i in range(EVENTS)
    ]
    return {"Records": [{"dynamodb": {"NewImage": image, "SequenceNumber": f"{i}"}} for i, image in enumerate(images)]}


def plainly(event: dict[str, Any], _: object) -> dict[str, Any]:
    """Publish a batch the plain way."""
    for record in event["Records"]:
        row = read(record["dynamodb"]["NewImage"])
        subscribers: list[Task[..., Any, Any]] = registry.subscribers(row.type)
        for parcel in parcels(row, subscribers):
            client("sqs").send_message(
                QueueUrl=sqs.url(parcel.queue.physical_name("bench")), MessageBody=bytes(parcel.message.args).decode()
            )
        client("dynamodb").update_item(
            TableName="celeriac-bench--outbox",
            Key={"pk": {"S": row.pk}, "sk": {"S": row.sk}},
            UpdateExpression="SET published_at = :now",
            ExpressionAttributeValues={":now": {"S": "now"}},
        )
    return {"batchItemFailures": []}


def measured(handler: Callable[[Any, Any], Any], event: dict[str, Any]) -> tuple[float, float, Counter[str]]:
    """Seconds, CPU seconds and calls of one batch."""
    stub.calls.clear()
    wall, cpu = time.perf_counter(), time.process_time()
    assert handler(event, Context()) == {"batchItemFailures": []}
    return time.perf_counter() - wall, time.process_time() - cpu, Counter(stub.calls)


def measure(rounds: int = 5, latency_ms: float = 20) -> Report:
    stub.latency_seconds = latency_ms / 1000
    stub.register("sqs", "dynamodb")
    return Report(latency_ms, [_measure(count, rounds) for count in (1, 3, 10)])


def _measure(count: int, rounds: int) -> Figures:
    subscribe(count)
    event = batch()
    measured(relay.handler, event)
    pairs = [(measured(plainly, event), measured(relay.handler, event)) for _ in range(rounds)]
    theirs, made = pairs[0][0][2], pairs[0][1][2]
    return Figures(
        count,
        dict(made),
        fewer=theirs.total() / made.total(),
        faster=ratio([plain[0] for plain, _ in pairs], [ours[0] for _, ours in pairs]),
        cpu_microseconds=median(ours[1] for _, ours in pairs) / EVENTS * 1e6,
        events_a_second=EVENTS / median(ours[0] for _, ours in pairs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    options = parser.parse_args()
    report = measure(options.rounds, options.latency_ms)
    if options.json:
        say(as_json(report))
        return
    for found in report.by_subscribers:
        say(
            f"{found.subscribers:2} subscribers: {sum(found.calls.values()) / EVENTS:.2f} calls an event "
            f"({found.calls} for {EVENTS}), {found.fewer:.0f} times fewer than one by one; "
            f"{found.events_a_second:.0f} events/s at {report.latency_ms:.0f} ms a call, {found.faster} times as many; "
            f"{found.cpu_microseconds:.0f} us CPU an event"
        )


if __name__ == "__main__":
    main()
