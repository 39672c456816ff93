"""CPU of the consumer for each message, beside a bare Powertools consumer on the same store, in turn.

python benchmarks/consumer_cpu.py [--rounds 15]

Both handle the same batches of ten over botocore whose HTTP is stubbed: what is left is their own work and botocore's.
The figure is the median of the ratios of paired rounds; and what ten tasks that wait cost side by side.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from quiet import answer, say  # before anything of AWS

from celeriac import Queue, consumer, task
from celeriac.aws import client

MESSAGES, BATCHES = 10, 40
queue = Queue("bench", timeout=timedelta(seconds=30))
waiting = Queue("waiting", timeout=timedelta(seconds=30), concurrency=10)


class Context:
    """Lambda's."""

    function_name = "bench"
    aws_request_id = "request"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:bench"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


@task(queue, key="payment_id")
def pay(payment_id: str, order_id: str, amount_cents: int, note: str = "") -> dict[str, str]:
    return {"charge": order_id}


@task(waiting, key="number")
def wait(number: int) -> None:
    time.sleep(0.1)


def stub(request: Any, **_: object) -> Any:
    return answer(request, {})


def bare_consumer() -> Callable[[Any, Any], Any]:
    """What a team writes by hand with Powertools."""
    dynamodb = boto3.client("dynamodb")
    dynamodb.meta.events.register("before-send.dynamodb", stub)
    logger, processor, context = Logger(), BatchProcessor(EventType.SQS), Context()
    config = IdempotencyConfig(event_key_jmespath="payment_id", raise_on_no_idempotency_key=True)
    config.register_lambda_context(context)  # type: ignore[arg-type]  # what it reads of one
    store = DynamoDBPersistenceLayer("celeriac-bench-idempotency", boto3_client=dynamodb)

    @idempotent_function(  # type: ignore[untyped-decorator]  # as Powertools has it
        data_keyword_argument="payment", persistence_store=store, config=config
    )
    def work(payment: dict[str, Any]) -> dict[str, str]:
        return {"charge": payment["order_id"]}

    def record_handler(record: SQSRecord) -> None:
        started = time.monotonic()
        payment = record.json_body["args"]
        work(payment=payment)
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        logger.info("done", extra={"id": record.message_id, "task": "pay", "milliseconds": milliseconds})

    def handler(event: Any, context: Any) -> Any:
        return process_partial_response(event, record_handler, processor, context)

    return handler


def batch(queue_name: str, bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """The event that Lambda makes of them."""
    return {
        "Records": [
            {
                "messageId": f"m-{i}",
                "receiptHandle": "r" * 300,
                "body": json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(time.time() * 1000))},
                "messageAttributes": {},
                "md5OfBody": "0" * 32,
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{queue_name}",
                "awsRegion": "eu-west-1",
            }
            for i, body in enumerate(bodies)
        ]
    }


def cpu(handler: Callable[[Any, Any], Any], events: list[dict[str, Any]]) -> float:
    """Microseconds of CPU for each message, of all threads."""
    started = time.process_time()
    for event in events:
        assert handler(event, Context()) == {"batchItemFailures": []}
    return (time.process_time() - started) / (len(events) * MESSAGES) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds: int = parser.parse_args().rounds
    client("dynamodb").meta.events.register("before-send.dynamodb", stub)
    args = {"payment_id": "p", "order_id": "o-1", "amount_cents": 500, "note": "x" * 500}
    events = [
        batch(
            "celeriac-bench-bench",
            [{"id": f"{b}-{m}", "task": "pay", "args": args | {"payment_id": f"p-{b}-{m}"}} for m in range(MESSAGES)],
        )
        for b in range(BATCHES)
    ]
    bare = bare_consumer()
    cpu(bare, events[:3]), cpu(consumer.handle, events[:3])
    pairs = [(cpu(bare, events), cpu(consumer.handle, events)) for _ in range(rounds)]
    low, median, high = statistics.quantiles([ours / theirs for theirs, ours in pairs], n=4)
    say(f"bare Powertools consumer  median {statistics.median(theirs for theirs, _ in pairs):6.0f} us CPU a message")
    say(f"Celeriac's consumer       median {statistics.median(ours for _, ours in pairs):6.0f} us CPU a message")
    say(f"ratio of {rounds} pairs: median {median:.2f}, half of them between {low:.2f} and {high:.2f}")

    ten = batch("celeriac-bench-waiting", [{"task": "wait", "args": {"number": i}} for i in range(10)])
    times = []
    for _ in range(5):
        started = time.perf_counter()
        consumer.handle(ten, Context())
        times.append((time.perf_counter() - started) * 1000)
    say(f"ten tasks that each wait 100 ms, concurrency 10: median {statistics.median(times):.0f} ms an invocation")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
