"""Acts as Lambda's pollers: makes events of messages and stream records, calls the handlers, applies their answers."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from celeriac.consume import handler as consumer
from celeriac.model.message import new_id
from celeriac.relay import handler as relay
from celeriac.relay import sweeper
from celeriac.testing.calls import Calls, WorkerDied

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

RELAY_TIMEOUT = timedelta(minutes=1)


class Invocation(LambdaContext):
    """Lambda's context object, with a deadline in virtual time."""

    def __init__(self, function_name: str, request_id: str, deadline: datetime) -> None:
        self._function_name, self._aws_request_id, self.deadline = function_name, request_id, deadline

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]  # static in Powertools
        """Milliseconds until the worker is stopped."""
        return max(0, (self.deadline - datetime.now(UTC)) // timedelta(milliseconds=1))


def invoke_consumer(
    calls: Calls, function: str, timeout: timedelta, messages: "list[MessageTypeDef]", arn: str
) -> set[str] | None:
    """Run the consumer on a batch. Returns the ids of the messages to delete, or None if the worker died."""
    event = {"Records": [_record(message, arn) for message in messages]}
    every = {message["MessageId"] for message in messages}
    answer = _call(calls, consumer.handler, event, function, timeout)
    return None if answer is None else every - _named(answer, every)


def invoke_relay(calls: Calls, function: str, records: list[dict[str, Any]]) -> int:
    """Run the relay on stream records. Returns how many of them are finished."""
    sequences = [record["dynamodb"]["SequenceNumber"] for record in records]
    answer = _call(calls, relay.handler, {"Records": records}, function, RELAY_TIMEOUT)
    if answer is None:
        return 0
    failed = _named(answer, set(sequences))
    return min((sequences.index(sequence) for sequence in failed), default=len(sequences))


def invoke_sweeper(calls: Calls, function: str) -> int:
    """Run the sweeper once. Returns how many events it published."""
    answer = _call(calls, sweeper.handler, {}, function, RELAY_TIMEOUT)
    return int(answer["published"]) if answer is not None else 0


def _call(calls: Calls, handler: Any, event: object, function: str, timeout: timedelta) -> Mapping[str, Any] | None:
    """The handler's answer. None if the worker died, or was killed because it took longer than `timeout`."""
    context = Invocation(function, new_id(), datetime.now(UTC) + timeout)
    try:
        with calls.rollout(function), calls.worker(context.deadline):
            answer: Mapping[str, Any] = handler(event, context)
    except WorkerDied:
        return None
    return answer


def _named(answer: Mapping[str, Any], every: set[str]) -> set[str]:
    """The ids that an answer names as failed. If it names an unknown id, the whole batch has failed, as in Lambda."""
    named = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    return every if named - every else named


def _record(message: "MessageTypeDef", arn: str) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "md5OfBody": message["MD5OfBody"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {
            name: {
                "stringValue": value.get("StringValue"),
                "binaryValue": b64encode(value["BinaryValue"]).decode() if "BinaryValue" in value else None,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value["DataType"],
            }
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": arn.split(":")[3],
    }
