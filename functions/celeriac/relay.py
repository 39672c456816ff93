"""The relay: rows that enter the outbox, brought to the queues of the tasks that wait for them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import msgspec
from boto3.dynamodb.types import TypeDeserializer

from celeriac import names, registry, settings
from celeriac.aws import client
from celeriac.deliver import Parcel, deliver_many
from celeriac.failure import error_place, error_type
from celeriac.log import logger
from celeriac.message import Message, decode
from celeriac.queue import Queue
from celeriac.signature import InvalidArgs
from celeriac.sqs import is_group
from celeriac.task import Task

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# The namespace of ids derived from an event and its subscriber, minted once for this purpose.
NAMESPACE = UUID("0d1b6a52-9b1c-4c39-8f0a-2f4b8f6f7a11")


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the outbox."""

    pk: str
    sk: str
    type: str
    occurred_at: datetime
    data: Mapping[str, Any]
    message: str | None
    """The whole message, where the row is a task that a transaction enqueued."""
    due_at: datetime | None = None
    group: str | None = None


def handle(event: Mapping[str, Any], context: object) -> "PartialItemFailureResponse":  # noqa: ARG001 - Lambda's signature
    """Publish a batch of stream records in order; stop at the first that fails and name it.

    Lambda then comes again with that record and what is behind it. What was published before is marked, and if it
    is published once more its ids are the same, so the tasks absorb it.
    """
    published: list[Event] = []
    failed: str | None = None
    for record in event.get("Records", []):
        sequence = record["dynamodb"]["SequenceNumber"]
        try:
            row = read(record["dynamodb"]["NewImage"])
            publish(row)
        except Exception as error:  # noqa: BLE001 - whatever it is, order demands that nothing behind it goes first
            logger.error(
                "event not published, the stream will bring it again",
                extra={"sequence": sequence, "error": error_type(error), "where": error_place(error)},
            )
            failed = sequence
            break
        published.append(row)
    _mark(published)
    return {"batchItemFailures": [{"itemIdentifier": failed}] if failed is not None else []}


def read(image: Mapping[str, Any]) -> Event:
    """The event in a stream record's new image."""
    deserialize = TypeDeserializer().deserialize
    row = {name: deserialize(value) for name, value in image.items()}
    return Event(
        pk=row["pk"],
        sk=row["sk"],
        type=row["type"],
        occurred_at=datetime.fromisoformat(row["occurred_at"]),
        data=json.loads(row.get("data", "{}")),
        message=row.get("message"),
        due_at=datetime.fromisoformat(row["due_at"]) if "due_at" in row else None,
        group=row.get("group"),
    )


def publish(event: Event) -> None:
    """Send it to every subscriber, or to the one task that it is for."""
    sent = parcels(event, registry.subscribers(event.type))
    problems = [problem for problem in deliver_many(sent) if problem is not None]
    if problems:
        raise OSError(f"{len(problems)} of {len(sent)} messages were not taken")
    logger.info("event published", extra={"event": event.type, "id": event.sk, "messages": len(sent)})


def parcels(event: Event, subscribers: Sequence[Task[..., Any, Any]]) -> list[Parcel]:
    """What an event becomes: a message for each subscriber, its id derived from both."""
    if event.message is not None:
        message = decode(event.message)
        wait = max((event.due_at or datetime.now(UTC)) - datetime.now(UTC), timedelta())
        return [Parcel(_queue_of(message), message, wait, event.group)]
    return [
        Parcel(
            task.queue,
            Message(
                id=str(uuid5(NAMESPACE, f"{event.sk}:{task.name}")),
                task=task.name,
                args=msgspec.Raw(msgspec.json.encode(task.signature.pick(event.data))),
                enqueued_at=event.occurred_at,
            ),
            group=_group(event.pk) if task.queue.fifo else None,
        )
        for task in subscribers
    ]


def _group(aggregate: str) -> str:
    """An aggregate as a message group; one that SQS wouldn't take by its hash."""
    return aggregate if is_group(aggregate) else sha256(aggregate.encode()).hexdigest()


def _queue_of(message: Message) -> Queue:
    task = registry.tasks.get(message.task)
    if task is None:
        raise InvalidArgs(f"no task is named {message.task!r} here")
    return task.queue


def _mark(events: Sequence[Event]) -> None:
    """Note on each row when it was published; a row that is gone meanwhile stays gone."""
    now = datetime.now(UTC).isoformat()
    table = names.outbox_table(settings.stage())
    dynamodb = client("dynamodb")
    while events:
        try:
            dynamodb.transact_write_items(TransactItems=[_mark_of(event, table, now) for event in events])
        except dynamodb.exceptions.TransactionCanceledException as canceled:
            reasons = canceled.response.get("CancellationReasons", [])
            there = [e for e, reason in zip(events, reasons, strict=False) if reason.get("Code") == "None"]
            events = there if len(there) < len(events) else []
            continue
        except Exception as error:  # noqa: BLE001 - what isn't marked is published again, and absorbed
            logger.warning("events not marked", extra={"count": len(events), "error": error_type(error)})
        return


def _mark_of(event: Event, table: str, now: str) -> "TransactWriteItemTypeDef":
    return {
        "Update": {
            "TableName": table,
            "Key": {"pk": {"S": event.pk}, "sk": {"S": event.sk}},
            "UpdateExpression": "SET published_at = :now",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeValues": {":now": {"S": now}},
        }
    }
