"""The messages of an outbox row: one for each subscriber of an event, or the task that the row holds."""

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID, uuid5

import msgspec

from celeriac.aws.sqs import is_group
from celeriac.declare import registry
from celeriac.declare.task import Task
from celeriac.enqueue.outbox_row import BUS, EventRow, OutboxRow, TaskRow
from celeriac.enqueue.send import Parcel
from celeriac.model import declared
from celeriac.model.errors import CeleriacError
from celeriac.model.message import Message, decode

# The namespace of ids derived from an event and its subscriber, minted once for this purpose.
NAMESPACE = UUID("0d1b6a52-9b1c-4c39-8f0a-2f4b8f6f7a11")


class UnknownQueueError(CeleriacError, LookupError):
    """A task whose queue this release doesn't know. A newer release may."""


def parcels(row: EventRow | TaskRow, subscribers: Sequence[Task[..., object, object]]) -> list[Parcel]:
    """The messages of an event: one for each subscriber, with an id derived from event and subscriber.

    A row that is a task has its own message. For such a row, raises UnknownQueueError if its queue doesn't exist, and
    what `message.decode` raises.
    """
    if isinstance(row, TaskRow):
        queue = registry.queues().get(row.queue)
        if queue is None:
            raise UnknownQueueError(f"no queue is named {row.queue!r} in this release")
        # A row without a group was written when its queue was a standard queue.
        group = row.group or (_group(row.pk) if queue.fifo else None)
        return [Parcel(queue, decode(row.message), row.delay, group, row.trace)]
    return [
        Parcel(
            task.queue,
            Message(
                id=derived_id(row.sk, task.name),
                task=task.name,
                args=msgspec.Raw(msgspec.json.encode(task.signature.pick(row.data))),
                enqueued_at=row.occurred_at,
                headers=dict(row.headers) if row.headers is not None else None,
            ),
            group=_group(row.pk) if task.queue.fifo else None,
            trace=row.trace,
        )
        for task in subscribers
    ]


def unknown_subscribers(row: EventRow | TaskRow, subscribers: Sequence[Task[..., object, object]]) -> frozenset[str]:
    """The subscribers that only the sender's release knows, and BUS if only that release has one."""
    if isinstance(row, TaskRow):
        return frozenset()
    known = {task.name for task in subscribers}
    if BUS in row.subscribers and declared.outbox().bus:
        known.add(BUS)
    return row.subscribers - known - row.sent_to


def may_be_in_order(row: OutboxRow, sent_to: frozenset[str] = frozenset(), *, unknown: bool = True) -> bool:
    """Whether later rows of the aggregate may have to wait for this one: it is still to go to a FIFO queue.

    sent_to: where it has arrived. A standard queue and the bus keep no order.
    unknown: whether subscribers that this release doesn't know count; their queues may be FIFO.
    """
    if row.is_alone:
        return False
    if isinstance(row, TaskRow):
        queue = registry.queues().get(row.queue)
        return queue is None or queue.fifo
    subscribers = registry.subscribers(row.type)
    if any(task.queue.fifo and task.name not in sent_to for task in subscribers):
        return True
    return unknown and isinstance(row, EventRow) and bool(unknown_subscribers(row, subscribers) - {BUS})


def derived_id(row: str, subscriber: str) -> str:
    """The id of an event's message for one task: the same each time the event is published."""
    return str(uuid5(NAMESPACE, f"{row}:{subscriber}"))


def _group(aggregate: str) -> str:
    """The message group of an aggregate: the aggregate itself, or its hash if SQS doesn't take it as a group."""
    return aggregate if is_group(aggregate) else sha256(aggregate.encode()).hexdigest()
