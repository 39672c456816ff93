"""What the relay costs for each event: AWS calls, CPU, and how many events a second one worker publishes.

python benchmarks/relay_throughput.py [--rounds 9] [--latency-ms 20]

Batches of 100 events with one, three and ten subscribers, each on a queue of its own, over botocore whose HTTP is
stubbed: every call is answered after the latency given. One shard of the stream feeds one worker, so this is what a
shard can do. The plain way beside it sends each message and marks each event by a call of its own.
"""

import argparse
import hashlib
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from quiet import answer, say  # before anything of AWS

from celeriac import Queue, Task, registry, relay, sqs, task
from celeriac.aws import client
from celeriac.event import Event, new_row, read
from celeriac.publish import parcels

EVENTS = 100
calls: Counter[str] = Counter()
latency = {"seconds": 0.0}


def stub(request: Any, **_: object) -> Any:
    operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
    calls[operation] += 1
    time.sleep(latency["seconds"])
    sent = json.loads(request.body)
    if operation == "SendMessageBatch":
        return answer(request, {"Successful": [_sent(entry) | {"Id": entry["Id"]} for entry in sent["Entries"]]})
    return answer(request, _sent(sent) if operation == "SendMessage" else {})


def _sent(entry: dict[str, str]) -> dict[str, str]:
    md5 = hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
    return {"MessageId": "m", "MD5OfMessageBody": md5}


def subscribe(count: int) -> None:
    """Let `count` tasks, each on a queue of its own, hear `bench.event`."""
    registry.tasks.clear()
    for number in range(count):

        @task(Queue(f"q{number}", timeout=timedelta(seconds=30)), name=f"hear_{number}", on="bench.event")
        def hear(number: int, note: str = "") -> None: ...

        sqs.urls[f"celeriac-bench-q{number}"] = f"https://sqs.eu-west-1.amazonaws.com/123456789012/q{number}"


def batch() -> dict[str, Any]:
    """The event that Lambda makes of 100 rows, of 25 aggregates."""
    images = [
        new_row("bench.event", f"item-{i % 25}", data=json.dumps({"number": i, "note": "x" * 200}))
        for i in range(EVENTS)
    ]
    return {"Records": [{"dynamodb": {"NewImage": image, "SequenceNumber": f"{i}"}} for i, image in enumerate(images)]}


def plainly(event: dict[str, Any], _: object) -> dict[str, Any]:
    """The plain way."""
    for record in event["Records"]:
        row: Event = read(record["dynamodb"]["NewImage"])
        subscribers: list[Task[..., Any, Any]] = registry.subscribers(row.type)
        for parcel in parcels(row, subscribers):
            client("sqs").send_message(
                QueueUrl=sqs.url(parcel.queue.physical_name("bench")), MessageBody=bytes(parcel.message.args).decode()
            )
        client("dynamodb").update_item(
            TableName="celeriac-bench-outbox",
            Key={"pk": {"S": row.pk}, "sk": {"S": row.sk}},
            UpdateExpression="SET published_at = :now",
            ExpressionAttributeValues={":now": {"S": "now"}},
        )
    return {"batchItemFailures": []}


def measured(handler: Callable[[Any, Any], Any], event: dict[str, Any]) -> tuple[float, float, Counter[str]]:
    """Seconds, seconds of CPU, and calls of one batch."""
    calls.clear()
    wall, cpu = time.perf_counter(), time.process_time()
    assert handler(event, None) == {"batchItemFailures": []}
    return time.perf_counter() - wall, time.process_time() - cpu, Counter(calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--latency-ms", type=float, default=20)
    options = parser.parse_args()
    latency["seconds"] = options.latency_ms / 1000
    for service in ("sqs", "dynamodb"):
        client(service).meta.events.register(f"before-send.{service}", stub)
    for count in (1, 3, 10):
        subscribe(count)
        event = batch()
        measured(relay.handle, event)
        pairs = [(measured(plainly, event), measured(relay.handle, event)) for _ in range(options.rounds)]
        made = pairs[0][1][2]
        fewer = pairs[0][0][2].total() / made.total()
        faster = [theirs[0] / ours[0] for theirs, ours in pairs]
        cpu = statistics.median(ours[1] for _, ours in pairs) / EVENTS * 1e6
        rate = EVENTS / statistics.median(ours[0] for _, ours in pairs)
        say(
            f"{count:2} subscribers: {made.total() / EVENTS:.2f} calls an event ({dict(made)} for {EVENTS}), "
            f"{fewer:.0f} times fewer than one by one; {rate:.0f} events/s at {options.latency_ms:.0f} ms a call, "
            f"{statistics.median(faster):.0f} times as many ({min(faster):.0f} to {max(faster):.0f}); "
            f"{cpu:.0f} us CPU an event"
        )


if __name__ == "__main__":
    main()
