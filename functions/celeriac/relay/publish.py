"""Publishes rows of the outbox: events to every subscriber's queue and to the stage's bus, tasks to their queue."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain

from msgspec import Struct, field
from msgspec.structs import replace

from celeriac.aws import refusals, sqs
from celeriac.aws.refusals import Refusal, insist, is_of_entry
from celeriac.declare import registry
from celeriac.declare.task import Task
from celeriac.enqueue.outbox_row import BUS, EventRow, OutboxRow, TaskRow
from celeriac.enqueue.send import Parcel, entry, send
from celeriac.model import declared, settings
from celeriac.model.failure import error_place, error_type
from celeriac.model.message import MalformedMessageError, NewerVersionError
from celeriac.model.queue import Queue
from celeriac.observe.log import logger
from celeriac.observe.text import line
from celeriac.relay import bus, memory
from celeriac.relay.batches import Ready, in_batches
from celeriac.relay.parcels import UnknownQueueError, parcels, unknown_subscribers

# Queues, and the bus, that are sent to at once. More threads would mostly wait for the interpreter.
PARALLEL = 8
SCHEDULER, PAYLOADS = "EventBridge Scheduler", "the payload bucket"
# That of a queue, if nothing else is declared.
USUAL_PATIENCE = timedelta(days=1)
# An entry has some fields beside the arguments.
BESIDE_ARGUMENTS = 2048
HELD_BACK = Refusal("held back behind an earlier row of its aggregate")

type Missed = tuple[OutboxRow, str, Refusal]
"""A row, the destination that it didn't reach, and why."""


class Left(Struct, frozen=True):
    """A row for a later try, and where it has arrived by now."""

    row: OutboxRow
    sent_to: frozenset[str] = frozenset()
    """The names of the tasks whose queue has it, and BUS."""
    why: str = ""
    """Empty for a row that is refused for now. Else why this release or AWS will refuse it again."""


class Published(Struct):
    """The result of publishing a batch. Each row is in one of the four lists, in the batch's order."""

    done: list[OutboxRow] = field(default_factory=list)
    parked: list[tuple[OutboxRow, str]] = field(default_factory=list)
    """Rows that can't be published unless something changes, with the reason. Their `sent_to` is that of now."""
    left: list[Left] = field(default_factory=list)
    """Rows to try again: those refused for now, those held back behind an earlier one of the same aggregate, and
    those that this release doesn't understand."""
    unclaimed: list[OutboxRow] = field(default_factory=list)
    """Events that nobody subscribes to, neither in this release nor in the sender's."""

    @property
    def failed(self) -> list[OutboxRow]:
        """The rows to try again."""
        return [left.row for left in self.left]


def publish(rows: Sequence[EventRow | TaskRow], *, to: str | None = None, again: bool = False) -> Published:
    """Send each row: an event to all its subscribers (or to the one task `to`). Keep the order within an aggregate.

    A destination in the row's `sent_to` isn't sent to once more, unless `to` asks for it. A row that is published has
    no `sent_to`: `again` sends it to all. The ids of messages are derived from event and subscriber, so second messages
    are duplicates.
    """
    again = again or to is not None
    outcome = _Outcome(patient=not again)
    by_queue: dict[str, list[tuple[OutboxRow, Parcel]]] = defaultdict(list)
    on_bus: list[EventRow] = []
    behind: set[str] = set()
    has_bus = to is None and declared.outbox().bus
    for row in rows:
        if not again and row.sk in memory.worker.unmarked:
            continue  # it is published, only its mark is missing
        if row.pk in behind:
            outcome.missed[row.sk].append(("", HELD_BACK))
            continue
        subscribers = registry.subscribers(row.type) if to is None else [registry.tasks[to]]
        for parcel in _parcels(row, subscribers, outcome):
            if to is not None or parcel.message.task not in row.sent_to:
                outcome.tried[row.sk].add(parcel.message.task)
                by_queue[parcel.queue.name].append((row, parcel))
        if isinstance(row, TaskRow):
            if row.sk in outcome.later and not again and _may_wait(row):
                behind.add(row.pk)
            continue
        if not again and (unknown := unknown_subscribers(row, subscribers)):
            names = ", ".join(sorted(unknown))
            outcome.later[row.sk] = f"its sender knows {names} as a subscriber of {row.type!r}, this release doesn't"
        elif not (subscribers or has_bus):
            outcome.unclaimed.add(row.sk)
        if has_bus and BUS not in row.sent_to:
            outcome.tried[row.sk].add(BUS)
            on_bus.append(row)
    jobs: list[Callable[[], Iterator[Missed]]] = [partial(_send, sent[0][1].queue, sent) for sent in by_queue.values()]
    if on_bus:
        jobs.append(partial(_put, on_bus))
    for refused, destination, why in _all_at_once(jobs):
        outcome.missed[refused.sk].append((destination, why))
    return outcome.sorted_out(rows)


class _Outcome(Struct):
    """What became of the rows of a batch, by their ids."""

    patient: bool
    """Whether rows that this release doesn't understand wait for a newer one."""
    tried: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    missed: dict[str, list[tuple[str, Refusal]]] = field(default_factory=lambda: defaultdict(list))
    later: dict[str, str] = field(default_factory=dict)
    unclaimed: set[str] = field(default_factory=set)

    def sorted_out(self, rows: Sequence[OutboxRow]) -> Published:
        published = Published()
        for row in rows:
            self._sort(row, published)
        for row, _ in published.parked:
            logger.error("row parked, it has the reason", extra={"type": line(row.type), "id": line(row.sk)})
        logger.info(
            "rows published",
            extra={
                "published": len(published.done),
                "parked": len(published.parked),
                "not_published": len(published.left),
                "unclaimed": len(published.unclaimed),
            },
        )
        return published

    def _sort(self, row: OutboxRow, published: Published) -> None:
        missed = self.missed.get(row.sk, [])
        later = self.later.get(row.sk) or next((why.why for _, why in missed if why.of_entry), "")
        arrived = frozenset(self.tried.get(row.sk, set()) - {destination for destination, _ in missed})
        if any(not (why.final or why.of_entry) for _, why in missed) or (later and self.patient and _may_wait(row)):
            published.left.append(Left(row, row.sent_to | arrived, later))
        elif missed or later:
            now = replace(row, sent_to=row.sent_to | arrived)
            published.parked.append((now, missed[0][1].why if missed else later))
        elif row.sk in self.unclaimed:
            published.unclaimed.append(row)
        else:
            published.done.append(row)


def _may_wait(row: OutboxRow) -> bool:
    """Whether a row that this release doesn't understand may wait for one that does.

    Its time begins when a relay first sees it: the sender's clock may be wrong.
    """
    return row.left_at is None or datetime.now(UTC) - row.left_at < _patience(row)


def _patience(row: OutboxRow) -> timedelta:
    """The patience of the row's queue. If that isn't known, the longest patience of all queues."""
    queues = registry.queues()
    if isinstance(row, TaskRow) and row.queue in queues:
        return queues[row.queue].patience
    return max((queue.patience for queue in queues.values()), default=USUAL_PATIENCE)


def _parcels(
    row: EventRow | TaskRow, subscribers: Sequence[Task[..., object, object]], outcome: _Outcome
) -> list[Parcel]:
    try:
        return parcels(row, subscribers)
    except (UnknownQueueError, NewerVersionError) as error:
        outcome.later[row.sk] = str(error)
    except MalformedMessageError as error:
        outcome.missed[row.sk].append(("", Refusal(str(error), final=True)))
    except Exception as error:  # noqa: BLE001 - an unforeseen row must not stop its shard
        logger.error("row not understood", extra={"error": error_type(error), "where": error_place(error)})
        outcome.missed[row.sk].append(("", Refusal(f"{error_type(error)} at {error_place(error)}", final=True)))
    return []


def _all_at_once(
    jobs: Sequence[Callable[[], Iterator[Missed]]],
) -> Iterator[Missed]:
    if len(jobs) == 1:
        yield from jobs[0]()
    elif jobs:
        with ThreadPoolExecutor(min(PARALLEL, len(jobs))) as pool:
            for found in pool.map(lambda job: list(job()), jobs):
                yield from found


def _put(rows: Sequence[EventRow]) -> Iterator[Missed]:
    for row, why in bus.put(rows):
        yield row, BUS, why


def _send(queue: Queue, sent: Sequence[tuple[OutboxRow, Parcel]]) -> Iterator[Missed]:
    """Send to one queue, batch after batch. A row that fails for now holds back the later ones of its aggregate."""
    name = queue.physical_name(settings.stage())
    if not memory.worker.can_reach(name):
        yield from ((row, parcel.message.task, _left_alone(name)) for row, parcel in sent)
        return
    made_ready, refused = _made_ready(sent)
    yield from refused
    tasks = {id(made): parcel.message.task for _, parcel, made in made_ready}
    ready: list[Ready] = [(row, made) for row, _, made in made_ready]
    held: set[str] = set()
    batches = in_batches(ready, fifo=queue.fifo)
    for together in batches:
        yield from ((row, tasks[id(made)], HELD_BACK) for row, made in together if row.pk in held)
        batch = [(row, made) for row, made in together if row.pk not in held]
        if not batch:
            continue
        try:
            answers = _answers(name, batch)
        except Exception as error:  # noqa: BLE001 - any error concerns this queue only
            # The queue can't be reached, so no further batch is tried: other queues must not wait for this one.
            out_of_reach = _unsent(error)
            if not out_of_reach.final:
                memory.worker.leave_alone(name)
            yield from ((row, tasks[id(made)], out_of_reach) for row, made in chain(batch, *batches))
            return
        for (row, made), why in zip(batch, answers, strict=True):
            if why is not None:
                if not why.final:
                    held.add(row.pk)
                yield row, tasks[id(made)], why


def _answers(name: str, batch: Sequence[Ready]) -> list[Refusal | None]:
    """Send a batch. If SQS refuses the whole call because of one entry, each one is sent alone, in order.

    Raises the error of a queue that can't be reached.
    """
    send_some = partial(sqs.send_batch, name)
    try:
        return insist([made for _, made in batch], send_some)
    except Exception as error:
        if not is_of_entry(error) or isinstance(error, sqs.NoSuchQueueError):
            raise
    held: set[str] = set()
    answers: list[Refusal | None] = []
    for row, made in batch:
        answer: Refusal | None = HELD_BACK
        if row.pk not in held:
            try:
                (answer,) = insist([made], send_some)
            except Exception as error:
                if not is_of_entry(error):
                    raise
                answer = _unsent(error)
        if answer is not None and not answer.final:
            held.add(row.pk)
        answers.append(answer)
    return answers


def _made_ready(
    sent: Sequence[tuple[OutboxRow, Parcel]],
) -> tuple[list[tuple[OutboxRow, Parcel, sqs.Entry]], list[Missed]]:
    """The entries to send in batches, and the rows that can't be sent. A long delay becomes a schedule at once."""
    ready: list[tuple[OutboxRow, Parcel, sqs.Entry]] = []
    refused: list[Missed] = []
    held: set[str] = set()
    for row, parcel in sent:
        if row.pk in held:
            refused.append((row, parcel.message.task, HELD_BACK))
            continue
        needed = _needed(parcel)
        if not memory.worker.can_reach(needed):
            held.add(row.pk)
            refused.append((row, parcel.message.task, _left_alone(needed)))
            continue
        try:
            if parcel.is_scheduled:
                send(parcel)
            else:
                ready.append((row, parcel, entry(parcel)))
        except Exception as error:  # noqa: BLE001 - a failing row must not stop the others
            unsent = _unsent(error)
            if not unsent.final:
                held.add(row.pk)
                if needed and not unsent.of_entry:
                    memory.worker.leave_alone(needed)
            refused.append((row, parcel.message.task, unsent))
    return ready, refused


def _needed(parcel: Parcel) -> str:
    """What is called before the parcel can be sent; empty if nothing is."""
    if parcel.is_scheduled:
        return SCHEDULER
    return PAYLOADS if len(parcel.message.args) + BESIDE_ARGUMENTS > parcel.queue.max_body_bytes else ""


def _left_alone(name: str) -> Refusal:
    return Refusal(f"{name} could not be reached a moment ago")


def _unsent(error: Exception) -> Refusal:
    if isinstance(error, sqs.NoSuchQueueError):
        return Refusal(f"{error_type(error)}: {error}", final=True)
    logger.error("not sent", extra={"error": error_type(error), "where": error_place(error)})
    return refusals.why(error)
