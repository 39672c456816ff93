"""Publishes events of the outbox: to the queue of every subscriber, and to the stage's bus."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from math import ceil
from uuid import UUID, uuid5

import msgspec

from celeriac.aws import sqs
from celeriac.aws.refusals import Refusal, insist
from celeriac.aws.sqs import is_group
from celeriac.declare import registry
from celeriac.declare.task import Task
from celeriac.enqueue.outbox_row import EventRow, OutboxRow, TaskRow
from celeriac.enqueue.send import Parcel, entry, send
from celeriac.model import declared, settings
from celeriac.model.errors import CeleriacError
from celeriac.model.failure import error_place, error_type
from celeriac.model.message import MalformedMessageError, Message, NewerVersionError, decode
from celeriac.model.queue import Queue
from celeriac.observe.log import logger
from celeriac.observe.text import line
from celeriac.relay import bus

# The namespace of ids derived from an event and its subscriber, minted once for this purpose.
NAMESPACE = UUID("0d1b6a52-9b1c-4c39-8f0a-2f4b8f6f7a11")
# Queues, and the bus, that are sent to at once. boto3's pool has no connections for more: they would only wait.
PARALLEL = 8
GOLDEN = (5**0.5 - 1) / 2
HELD_BACK = Refusal("held back behind an earlier event of its aggregate")


class CannotPublishError(CeleriacError, ValueError):
    """An event that can't be published, however often it is tried."""


@dataclass(slots=True)
class Published:
    """The result of publishing a batch. Each event is in one of the three lists, in the batch's order."""

    done: list[OutboxRow] = field(default_factory=list)
    parked: list[tuple[OutboxRow, str]] = field(default_factory=list)
    """Events that can't be published unless something changes, with the reason."""
    failed: list[OutboxRow] = field(default_factory=list)
    """Events to try again, and events held back behind an earlier one of the same aggregate."""


def publish(rows: Sequence[EventRow | TaskRow], *, to: str | None = None) -> Published:
    """Send each event to all its subscribers (or to the one task `to`), in order within an aggregate.

    If the message for one subscriber fails, the event is later sent to all subscribers again. The ids are derived from
    event and subscriber, so the second messages are duplicates.
    """
    problems: dict[str, list[Refusal]] = defaultdict(list)
    by_queue: dict[str, list[tuple[OutboxRow, Parcel]]] = defaultdict(list)
    for row in rows:
        try:
            for parcel in parcels(row, registry.subscribers(row.type) if to is None else [registry.tasks[to]]):
                by_queue[parcel.queue.name].append((row, parcel))
        except (CannotPublishError, MalformedMessageError, NewerVersionError) as error:
            problems[row.sk].append(Refusal(str(error), final=True))
        except Exception as error:  # noqa: BLE001 - an unforeseen event must not stop its shard
            logger.error("event not understood", extra={"error": error_type(error), "where": error_place(error)})
            problems[row.sk].append(Refusal(f"{error_type(error)} at {error_place(error)}", final=True))
    jobs: list[Callable[[], Iterator[tuple[OutboxRow, Refusal]]]] = [
        partial(_send, sent[0][1].queue, sent) for sent in by_queue.values()
    ]
    if to is None and declared.outbox().bus:
        jobs.append(partial(bus.put, [row for row in rows if isinstance(row, EventRow)]))
    for refused, why in _all_at_once(jobs):
        problems[refused.sk].append(why)
    return _sorted_out(rows, problems)


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


def spread(groups: Sequence[str]) -> list[int]:
    """Positions in a new order, which keeps the order in each group and puts its members as far apart as possible.

    If this order is cut into batches, few members of a group share a batch. So when SQS refuses a message of a batch,
    it has seldom taken a later message of the same group.

    >>> spread(["a", "a", "b", "b"])
    [0, 2, 1, 3]
    """
    # Each group's members are evenly spaced between 0 and 1. The golden ratio places the first member.
    members: dict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        members[group].append(position)
    rank = {
        position: (place + nth * GOLDEN % 1) / len(positions)
        for nth, positions in enumerate(members.values())
        for place, position in enumerate(positions)
    }
    return sorted(rank, key=lambda position: rank[position])


def _all_at_once(
    jobs: Sequence[Callable[[], Iterator[tuple[OutboxRow, Refusal]]]],
) -> Iterator[tuple[OutboxRow, Refusal]]:
    if len(jobs) == 1:
        yield from jobs[0]()
    elif jobs:
        with ThreadPoolExecutor(min(PARALLEL, len(jobs))) as pool:
            for found in pool.map(lambda job: list(job()), jobs):
                yield from found


def _send(queue: Queue, sent: Sequence[tuple[OutboxRow, Parcel]]) -> Iterator[tuple[OutboxRow, Refusal]]:
    """Send to one queue, batch after batch. An event that fails for now holds back the later ones of its aggregate."""
    unmade: set[str] = set()
    ready: list[tuple[OutboxRow, sqs.Entry]] = []
    for row, parcel in sent:
        if row.pk in unmade:
            yield row, HELD_BACK
            continue
        try:
            if parcel.is_scheduled:
                send(parcel)
            else:
                ready.append((row, entry(parcel)))
        except Exception as error:  # noqa: BLE001 - a failing event must not stop the others
            unsent = _unsent(error)
            if not unsent.final:
                unmade.add(row.pk)
            yield row, unsent
    held: set[str] = set()
    name = queue.physical_name(settings.stage())
    # If the queue can't be reached for one batch, no further batch is tried: other queues must not wait for it.
    out_of_reach: Refusal | None = None
    for together in _batches(queue, ready):
        batch = [one for one in together if one[0].pk not in held and out_of_reach is None]
        for row, _ in together:
            if out_of_reach is not None:
                yield row, out_of_reach
            elif row.pk in held:
                yield row, HELD_BACK
        if not batch:
            continue
        try:
            answers = insist([made for _, made in batch], partial(sqs.send_batch, name))
        except Exception as error:  # noqa: BLE001 - any error concerns this queue only
            out_of_reach = _unsent(error)
            answers = [out_of_reach] * len(batch)
        for (row, _), problem in zip(batch, answers, strict=True):
            if problem is not None:
                if not problem.final:
                    held.add(row.pk)
                yield row, problem


def _batches(queue: Queue, ready: Sequence[tuple[OutboxRow, sqs.Entry]]) -> Iterator[list[tuple[OutboxRow, sqs.Entry]]]:
    """The batches to send. On a FIFO queue, a batch has as few events of an aggregate as ten calls for 100 allow."""
    if not ready:
        return  # every event was sent by a schedule, or failed
    groups = [row.pk for row, _ in ready]
    order = spread(groups) if queue.fifo else range(len(ready))
    in_order = [ready[i] for i in order]
    most = max(Counter(groups).values()) if queue.fifo else 1
    calls = max(ceil(len(ready) / sqs.BATCH_ENTRIES), min(most, sqs.BATCH_ENTRIES))
    size = ceil(len(ready) / calls)
    for start in range(0, len(ready), size):
        some = in_order[start : start + size]
        for positions in sqs.batches([made.size for _, made in some]):
            yield [some[i] for i in positions]


def _unsent(error: Exception) -> Refusal:
    if not isinstance(error, sqs.NoSuchQueueError):
        logger.error("not sent", extra={"error": error_type(error), "where": error_place(error)})
    return Refusal(f"{error_type(error)}: {error}", final=isinstance(error, sqs.NoSuchQueueError))


def _sorted_out(rows: Sequence[OutboxRow], problems: dict[str, list[Refusal]]) -> Published:
    published = Published()
    for row in rows:
        met = problems.get(row.sk, [])
        if any(not problem.final for problem in met):
            published.failed.append(row)
        elif met:
            published.parked.append((row, met[0].why))
        else:
            published.done.append(row)
    for row, _ in published.parked:
        logger.error("event parked, its row has the reason", extra={"event": line(row.type), "id": line(row.sk)})
    logger.info(
        "events published",
        extra={
            "published": len(published.done),
            "parked": len(published.parked),
            "not_published": len(published.failed),
        },
    )
    return published


def _group(aggregate: str) -> str:
    """The message group of an aggregate: the aggregate itself, or its hash if SQS doesn't take it as a group."""
    return aggregate if is_group(aggregate) else sha256(aggregate.encode()).hexdigest()
