"""Sends a task's message: to its queue, or to a one-time schedule if it must wait longer than SQS allows."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import chain
from math import ceil
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from celeriac.aws import payloads, scheduler, sqs
from celeriac.model import settings
from celeriac.model.errors import NotConfiguredError
from celeriac.model.failure import error_type
from celeriac.model.keywords import escaped
from celeriac.model.message import NO_ARGS, Message, encode
from celeriac.model.queue import MAX_DELAY, Queue
from celeriac.observe import trace

NOW = timedelta()
# The most bytes that a schedule carries: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_Target.html
MAX_SCHEDULED_BYTES = 262_144
# Parallel calls of `send_many`. More threads would mostly wait for the interpreter.
PARALLEL_CALLS = 8
HELD_BACK = "not tried: an earlier message of its group was not sent"

type Lane = Sequence[tuple[int, ...]]
"""Calls that are made one after another, each with the positions of its parcels."""


class Parcel(Struct, frozen=True):
    """A message on its way to a queue."""

    queue: Queue
    message: Message
    delay: timedelta = NOW
    group: str | None = None
    trace: str | None = None
    """The header of the message's X-Ray trace, if that isn't the current trace. A schedule carries no trace."""

    @property
    def is_scheduled(self) -> bool:
        """Whether the delay is longer than SQS allows, so that a schedule must send the message."""
        return self.delay > MAX_DELAY


class Enqueueable(Protocol):
    """A task with its options, as a transaction enqueues it."""

    @property
    def name(self) -> str:
        """The task's name."""

    def parcel(self, *args: Any, **kwargs: Any) -> Parcel:
        """The parcel that the task's `enqueue` would send. Raises what `enqueue` raises."""


def send(parcel: Parcel) -> None:
    """Send a parcel: by SQS if its delay is at most 15 minutes, else by a schedule. When this returns, AWS has it."""
    name = parcel.queue.physical_name(settings.stage())
    if parcel.is_scheduled:
        scheduler.send_later(name, entry(parcel), delay=parcel.delay, of=parcel.message)
    else:
        sqs.send(name, entry(parcel))


def send_many(parcels: Sequence[Parcel]) -> list[str | None]:
    """Send parcels in as few calls as SQS allows, several calls at once; on a FIFO queue each group in its order.

    The answer holds one entry for each parcel, in the order of the parcels: None, or why the parcel wasn't sent. If one
    call fails, the others go on. But on a FIFO queue nothing is sent behind a message of its group that wasn't sent.
    Large payloads for SQS are stored first: if that fails, AWS's error is raised, and nothing has been sent.
    """
    here = trace.current()
    entries = {i: _entry(parcel, here) for i, parcel in enumerate(parcels) if not parcel.is_scheduled}
    problems: list[str | None] = [None] * len(parcels)

    def send_in_turn(lane: Lane) -> None:
        for number, positions in enumerate(lane):
            answers = _answers([parcels[i] for i in positions], [entries[i] for i in positions if i in entries])
            for i, answer in zip(positions, answers, strict=True):
                problems[i] = answer
            if any(answers):
                for i in chain(*lane[number + 1 :]):
                    problems[i] = HELD_BACK
                return

    lanes = list(_lanes(parcels, entries))
    if len(lanes) > 1:
        with ThreadPoolExecutor(min(PARALLEL_CALLS, len(lanes))) as pool:
            for _ in pool.map(send_in_turn, lanes):
                pass
    else:
        for alone in lanes:
            send_in_turn(alone)
    return problems


def _lanes(parcels: Sequence[Parcel], entries: Mapping[int, sqs.Entry]) -> Iterator[Lane]:
    """What is sent in parallel. A group of a FIFO queue is one lane, with one message in each call.

    SQS may refuse an earlier entry of a call and accept a later one. So messages of one group never share a call.
    """
    groups: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    standard: dict[str, list[int]] = defaultdict(list)
    for i, parcel in enumerate(parcels):
        if parcel.is_scheduled:
            yield [(i,)]
        elif parcel.queue.fifo:
            groups[parcel.queue.name, parcel.group].append(i)
        else:
            standard[parcel.queue.name].append(i)
    for members in groups.values():
        yield [(i,) for i in members]
    for members in standard.values():
        for batch in sqs.batches([entries[i].size for i in members]):
            yield [tuple(members[k] for k in batch)]


def _answers(parcels: Sequence[Parcel], entries: Sequence[sqs.Entry]) -> list[str | None]:
    """Send by one call. Returns, for each parcel, None or why it wasn't sent."""
    first = parcels[0]
    try:
        if first.is_scheduled:
            send(first)
            return [None]
        refused = sqs.send_batch(first.queue.physical_name(settings.stage()), entries)
    except NotConfiguredError:  # of every message, and none was sent
        raise
    except Exception as error:  # noqa: BLE001 - the caller gets it for each parcel that wasn't sent
        return [f"{error_type(error)}: {error}"] * len(parcels)
    return [problem.why if problem is not None else None for problem in refused]


def fitted(name: str, message: Message, limit: int, *, long: bool = False, scheduled: bool = False) -> str:
    """The body of `message`. If it is larger than `limit` bytes, its arguments are stored in the payload bucket.

    Arguments that are stored already are renewed, if they might otherwise be deleted before the message ends.

    long: the message will wait in a schedule or in the outbox, so the bucket must keep its arguments longer.
    scheduled: a schedule carries the message, so the limit is that of its input.
    """
    if message.stored:
        stored = payloads.renewed(name, message.stored, long=long)
        # Arguments beside stored ones are never read. Another program may have written both, and made them too large.
        return encode(msgspec.structs.replace(message, args=NO_ARGS, stored=stored))
    body = encode(message)
    if len((escaped(body) if scheduled else body).encode()) <= limit:
        return body
    key = payloads.store(name, bytes(message.args), long=long)
    return encode(msgspec.structs.replace(message, args=NO_ARGS, stored=key))


def fitted_message(parcel: Parcel) -> str:
    """The body of a parcel for a row of the outbox. The row may wait long, for example if it is parked."""
    name, limit = parcel.queue.physical_name(settings.stage()), parcel.queue.max_body_bytes
    return fitted(name, parcel.message, min(limit, MAX_SCHEDULED_BYTES), long=True)


def entry(parcel: Parcel) -> sqs.Entry:
    """The entry that SQS or a schedule is to hold. Raises what AWS raises if a large payload can't be stored."""
    return _entry(parcel, trace.current())


def _entry(parcel: Parcel, here: str | None) -> sqs.Entry:
    """`entry`, with the current trace, which is the same for many parcels."""
    name = parcel.queue.physical_name(settings.stage())
    message, fifo, scheduled = parcel.message, parcel.queue.fifo, parcel.is_scheduled
    limit = min(parcel.queue.max_body_bytes, MAX_SCHEDULED_BYTES) if scheduled else parcel.queue.max_body_bytes
    return sqs.Entry(
        body=fitted(name, message, limit, long=scheduled, scheduled=scheduled),
        delay_seconds=0 if scheduled else ceil(parcel.delay.total_seconds()),
        group=parcel.group,
        deduplication=f"{message.id}-{message.turn}" if fifo else None,
        trace=parcel.trace or here,
    )
