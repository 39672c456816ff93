"""Acts as Lambda's pollers: makes events of messages and stream records, calls the handlers, applies their answers."""

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from celeriac.consume import handler as consumer
from celeriac.model.message import new_id
from celeriac.relay import handler as relay
from celeriac.relay import memory, sweeper
from celeriac.testing.calls import Calls, WorkerDied
from celeriac.worker.event import Invocation, record

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# That of relay and sweeper in the stack.
RELAY_TIMEOUT = timedelta(minutes=3)


def invoke_consumer(
    calls: Calls, function: str, timeout: timedelta, messages: "list[MessageTypeDef]", arn: str
) -> set[str] | None:
    """Run the consumer on a batch. Returns the ids of the messages to delete, or None if the worker died."""
    event = {"Records": [record(message, arn) for message in messages]}
    every = {message["MessageId"] for message in messages}
    answer = _call(calls, consumer.handler, event, function, timeout)
    return None if answer is None else every - _named(answer, every)


def invoke_relay(calls: Calls, function: str, records: list[dict[str, Any]], arn: str) -> int:
    """Run the relay on stream records, as DynamoDB returns them. Returns how many of them are finished."""
    sequences = [record["dynamodb"]["SequenceNumber"] for record in records]
    event = {"Records": [_stream_record(record, arn) for record in records]}
    answer = _with_memory(calls, relay.handler, event, function)
    if answer is None:
        return 0
    failed = _named(answer, set(sequences))
    return min((sequences.index(sequence) for sequence in failed), default=len(sequences))


def invoke_sweeper(calls: Calls, function: str) -> int:
    """Run the sweeper once. Returns how many events it published."""
    answer = _with_memory(calls, sweeper.handler, {}, function)
    return int(answer["published"]) if answer is not None else 0


def _with_memory(calls: Calls, handler: Any, event: object, function: str) -> Mapping[str, Any] | None:
    """Call relay or sweeper with what its worker remembers. A worker that dies forgets it."""
    shared, memory.worker = memory.worker, calls.memories.setdefault(function, memory.Memory())
    try:
        answer = _call(calls, handler, event, function, RELAY_TIMEOUT)
    finally:
        memory.worker = shared
    if answer is None:
        del calls.memories[function]
    return answer


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


def _stream_record(record: dict[str, Any], arn: str) -> dict[str, Any]:
    """A record as Lambda hands it over: JSON, in which binary values are base64 and times are whole seconds.

    https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
    """
    change: dict[str, Any] = dict(record["dynamodb"])
    change["ApproximateCreationDateTime"] = int(change["ApproximateCreationDateTime"].timestamp())
    for images in {"Keys", "NewImage", "OldImage"} & change.keys():
        change[images] = {name: _in_json(value) for name, value in change[images].items()}
    handed: dict[str, Any] = {
        "eventID": record["eventID"],
        "eventName": record["eventName"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": arn.split(":")[3],
        "dynamodb": change,
        "eventSourceARN": arn,
    }
    if identity := record.get("userIdentity"):
        handed["userIdentity"] = {"type": identity["Type"], "principalId": identity["PrincipalId"]}
    found: dict[str, Any] = json.loads(json.dumps(handed))
    return found


def _in_json(value: Any) -> Any:
    """A value in DynamoDB's form, such as `{"S": "text"}`, in JSON."""
    match value:
        case {"B": bytes(content)}:
            return {"B": b64encode(content).decode()}
        case {"BS": contents}:
            return {"BS": [b64encode(content).decode() for content in contents]}
        case {"L": members}:
            return {"L": [_in_json(member) for member in members]}
        case {"M": members}:
            return {"M": {name: _in_json(member) for name, member in members.items()}}
        case _:
            return value
