"""Consumers written by hand: with Powertools' batch processor and idempotency decorator, and with boto3 alone."""

import json
import time
from collections.abc import Callable
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
from stub import Stub

MESSAGES = 10


class Context:
    """Stands in for Lambda's context."""

    function_name = "bench"
    function_version = "$LATEST"
    aws_request_id = "request"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:bench"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def bare_consumer(stub: Stub) -> Callable[[Any, Any], Any]:
    """The handler of the bare consumer, over stubbed HTTP."""
    stub.register("dynamodb")
    dynamodb = boto3.client("dynamodb")
    logger, processor, context = Logger(), BatchProcessor(EventType.SQS), Context()
    config = IdempotencyConfig(event_key_jmespath="payment_id", raise_on_no_idempotency_key=True)
    config.register_lambda_context(context)  # type: ignore[arg-type]  # it has what Powertools reads
    store = DynamoDBPersistenceLayer("celeriac-bench--idempotency", boto3_client=dynamodb)

    @idempotent_function(  # type: ignore[untyped-decorator]  # Powertools' own
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


def boto3_consumer(stub: Stub) -> Callable[[Any, Any], Any]:
    """The handler of a consumer with nothing but boto3: a conditional write before the work, and one after it."""
    stub.register("dynamodb")
    dynamodb = boto3.client("dynamodb")
    table = "celeriac-bench--idempotency"

    def work(payment: dict[str, Any]) -> dict[str, str]:
        return {"charge": payment["order_id"]}

    def consume(record: dict[str, Any]) -> None:
        started = time.time()
        payment = json.loads(record["body"])["args"]
        key, expiration = {"id": {"S": payment["payment_id"]}}, str(int(started) + 86400)
        try:
            dynamodb.put_item(
                TableName=table,
                Item=key | {"status": {"S": "INPROGRESS"}, "expiration": {"N": expiration}},
                ConditionExpression="attribute_not_exists(id) OR expiration < :now",
                ExpressionAttributeValues={":now": {"N": str(int(started))}},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return
        result = work(payment)
        dynamodb.update_item(
            TableName=table,
            Key=key,
            UpdateExpression="SET #status = :done, #data = :data",
            ExpressionAttributeNames={"#status": "status", "#data": "data"},
            ExpressionAttributeValues={":done": {"S": "COMPLETED"}, ":data": {"S": json.dumps(result)}},
        )
        milliseconds = round((time.time() - started) * 1000, 1)
        print(json.dumps({"message": "done", "id": record["messageId"], "milliseconds": milliseconds}))

    def handler(event: Any, _: Any) -> Any:
        failures = []
        for record in event["Records"]:
            try:
                consume(record)
            except Exception:  # noqa: BLE001 - as such code is written
                failures.append({"itemIdentifier": record["messageId"]})
        return {"batchItemFailures": failures}

    return handler


def payments(queue_name: str, batch: int = 0) -> dict[str, Any]:
    """The event that Lambda makes from ten payments."""
    args = {"order_id": "o-1", "amount_cents": 500, "note": "x" * 500}
    return event(
        queue_name,
        [
            {"id": f"{batch}-{m}", "task": "pay", "args": args | {"payment_id": f"p-{batch}-{m}"}}
            for m in range(MESSAGES)
        ],
    )


def event(queue_name: str, bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """The event that Lambda makes from messages."""
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
