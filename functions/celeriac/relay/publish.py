"""Publishes events of the outbox: to the queue of every subscriber, and to the stage's bus."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from celeriac.aws import sqs
from celeriac.aws.refusals import Refusal, insist
from celeriac.declare import registry
from celeriac.enqueue.outbox_row import EventRow, OutboxRow, TaskRow
from celeriac.enqueue.send import Parcel, entry, send
from celeriac.model import declared, settings
from celeriac.model.failure import error_place, error_type
from celeriac.model.message import MalformedMessageError, NewerVersionError
from celeriac.model.queue import Queue
from celeriac.observe.log import logger
from celeriac.observe.text import line
from celeriac.relay import bus
from celeriac.relay.batches import Ready, in_batches
from celeriac.relay.parcels import CannotPublishError, parcels

# Queues, and the bus, that are sent to at once. More threads would mostly wait for the interpreter.
PARALLEL = 8
HELD_BACK = Refusal("held back behind an earlier event of its aggregate")

type Refused = tuple[OutboxRow, Refusal]


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
    jobs: list[Callable[[], Iterator[Refused]]] = [partial(_send, sent[0][1].queue, sent) for sent in by_queue.values()]
    if to is None and declared.outbox().bus:
        jobs.append(partial(bus.put, [row for row in rows if isinstance(row, EventRow)]))
    for refused, why in _all_at_once(jobs):
        problems[refused.sk].append(why)
    return _sorted_out(rows, problems)


def _all_at_once(
    jobs: Sequence[Callable[[], Iterator[Refused]]],
) -> Iterator[Refused]:
    if len(jobs) == 1:
        yield from jobs[0]()
    elif jobs:
        with ThreadPoolExecutor(min(PARALLEL, len(jobs))) as pool:
            for found in pool.map(lambda job: list(job()), jobs):
                yield from found


def _send(queue: Queue, sent: Sequence[tuple[OutboxRow, Parcel]]) -> Iterator[Refused]:
    """Send to one queue, batch after batch. An event that fails for now holds back the later ones of its aggregate."""
    ready, refused = _made_ready(sent)
    yield from refused
    name = queue.physical_name(settings.stage())
    held: set[str] = set()
    batches = in_batches(ready, fifo=queue.fifo)
    for together in batches:
        yield from ((row, HELD_BACK) for row, _ in together if row.pk in held)
        batch = [(row, made) for row, made in together if row.pk not in held]
        if not batch:
            continue
        try:
            answers = insist([made for _, made in batch], partial(sqs.send_batch, name))
        except Exception as error:  # noqa: BLE001 - any error concerns this queue only
            # The queue can't be reached, so no further batch is tried: other queues must not wait for this one.
            out_of_reach = _unsent(error)
            yield from ((row, out_of_reach) for row, _ in chain(batch, *batches))
            return
        for (row, _), why in zip(batch, answers, strict=True):
            if why is not None:
                if not why.final:
                    held.add(row.pk)
                yield row, why


def _made_ready(
    sent: Sequence[tuple[OutboxRow, Parcel]],
) -> tuple[list[Ready], list[Refused]]:
    """The entries to send in batches, and the events that can't be sent. A long delay becomes a schedule at once."""
    ready: list[Ready] = []
    refused: list[Refused] = []
    held: set[str] = set()
    for row, parcel in sent:
        if row.pk in held:
            refused.append((row, HELD_BACK))
            continue
        try:
            if parcel.is_scheduled:
                send(parcel)
            else:
                ready.append((row, entry(parcel)))
        except Exception as error:  # noqa: BLE001 - a failing event must not stop the others
            unsent = _unsent(error)
            if not unsent.final:
                held.add(row.pk)
            refused.append((row, unsent))
    return ready, refused


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
