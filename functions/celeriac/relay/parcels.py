"""The messages of an outbox row: one for each subscriber of an event, or the task that the row holds."""

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID, uuid5

import msgspec

from celeriac.aws.sqs import is_group
from celeriac.declare import registry
from celeriac.declare.task import Task
from celeriac.enqueue.outbox_row import EventRow, TaskRow
from celeriac.enqueue.send import Parcel
from celeriac.model.errors import CeleriacError
from celeriac.model.message import Message, decode

# The namespace of ids derived from an event and its subscriber, minted once for this purpose.
NAMESPACE = UUID("0d1b6a52-9b1c-4c39-8f0a-2f4b8f6f7a11")


class CannotPublishError(CeleriacError, ValueError):
    """An event that can't be published, however often it is tried."""


def parcels(row: EventRow | TaskRow, subscribers: Sequence[Task[..., object, object]]) -> list[Parcel]:
    """The messages of an event: one for each subscriber, with an id derived from event and subscriber.

    A row that is a task has its own message. For such a row, raises CannotPublishError if its queue doesn't exist, and
    what `message.decode` raises.
    """
    if isinstance(row, TaskRow):
        queue = registry.queues().get(row.queue or "")
        if queue is None:
            raise CannotPublishError(f"no queue is named {row.queue!r} in this release")
        return [Parcel(queue, decode(row.message), row.delay, row.group, row.trace)]
    return [
        Parcel(
            task.queue,
            Message(
                id=derived_id(row.sk, task.name),
                task=task.name,
                args=msgspec.Raw(msgspec.json.encode(task.signature.pick(row.data))),
                enqueued_at=row.occurred_at,
            ),
            group=_group(row.pk) if task.queue.fifo else None,
            trace=row.trace,
        )
        for task in subscribers
    ]


def derived_id(row: str, subscriber: str) -> str:
    """The id of an event's message for one task: the same each time the event is published."""
    return str(uuid5(NAMESPACE, f"{row}:{subscriber}"))


def _group(aggregate: str) -> str:
    """The message group of an aggregate: the aggregate itself, or its hash if SQS doesn't take it as a group."""
    return aggregate if is_group(aggregate) else sha256(aggregate.encode()).hexdigest()
