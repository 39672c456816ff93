"""The relay: rows that enter the outbox, brought to the queues of the tasks that wait for them."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import msgspec
from boto3.dynamodb.types import TypeDeserializer

from celeriac import names, registry, settings
from celeriac.aws import client
from celeriac.deliver import Parcel, deliver_batch
from celeriac.failure import error_place, error_type
from celeriac.log import logger
from celeriac.message import Message, decode
from celeriac.queue import Queue
from celeriac.signature import InvalidArgs
from celeriac.task import Task

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse

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
    )


def publish(event: Event) -> None:
    """Send it to every subscriber, or to the one task that it is for."""
    by_queue: dict[str, list[Parcel]] = defaultdict(list)
    for parcel in parcels(event, registry.subscribers(event.type)):
        by_queue[parcel.queue.name].append(parcel)
    for parcels_of_queue in by_queue.values():
        problems = [p for p in deliver_batch(parcels_of_queue[0].queue, parcels_of_queue) if p is not None]
        if problems:
            raise OSError(f"{len(problems)} of {len(parcels_of_queue)} messages were not taken: {problems[0]}")
    logger.info(
        "event published", extra={"event": event.type, "id": event.sk, "messages": sum(map(len, by_queue.values()))}
    )


def parcels(event: Event, subscribers: Sequence[Task[..., Any, Any]]) -> list[Parcel]:
    """What an event becomes: a message for each subscriber, its id derived from both."""
    if event.message is not None:
        message = decode(event.message)
        return [Parcel(_queue_of(message), message)]
    return [
        Parcel(
            task.queue,
            Message(
                id=str(uuid5(NAMESPACE, f"{event.sk}:{task.name}")),
                task=task.name,
                args=msgspec.Raw(msgspec.json.encode(task.signature.pick(event.data))),
                enqueued_at=event.occurred_at,
            ),
            group=event.pk if task.queue.fifo else None,
        )
        for task in subscribers
    ]


def _queue_of(message: Message) -> Queue:
    task = registry.tasks.get(message.task)
    if task is None:
        raise InvalidArgs(f"no task is named {message.task!r} here")
    return task.queue


def _mark(events: Sequence[Event]) -> None:
    """Note on each row when it was published."""
    if not events:
        return
    now = datetime.now(UTC).isoformat()
    table = names.outbox_table(settings.stage())
    client("dynamodb").transact_write_items(
        TransactItems=[
            {
                "Update": {
                    "TableName": table,
                    "Key": {"pk": {"S": event.pk}, "sk": {"S": event.sk}},
                    "UpdateExpression": "SET published_at = :now",
                    "ExpressionAttributeValues": {":now": {"S": now}},
                }
            }
            for event in events
        ]
    )
