"""Sends a task's message: to its queue, or to a one-time schedule if it must wait longer than SQS allows."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any, Protocol

import msgspec

from celeriac.aws import payloads, scheduler, sqs
from celeriac.model import settings
from celeriac.model.failure import error_type
from celeriac.model.message import NO_ARGS, Message, encode
from celeriac.model.queue import MAX_DELAY, Queue
from celeriac.observe import trace

NOW = timedelta()
# The most bytes that a schedule carries: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_Target.html
MAX_SCHEDULED_BYTES = 262_144
# Parallel calls of `send_many`. boto3's pool has no connections for more calls: they would only wait.
PARALLEL_CALLS = 8


@dataclass(frozen=True, slots=True)
class Parcel:
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
    """Send parcels in as few calls as SQS allows, several calls at once.

    The answer holds one entry for each parcel, in the order of the parcels: None, or why the parcel wasn't sent. If one
    call fails, the others go on. Large payloads for SQS are stored first: if that fails, AWS's error is raised, and
    nothing has been sent.
    """
    problems: list[str | None] = [None] * len(parcels)
    work: list[tuple[int, ...]] = [(i,) for i, parcel in enumerate(parcels) if parcel.is_scheduled]
    by_queue: dict[str, list[int]] = defaultdict(list)
    for i, parcel in enumerate(parcels):
        if not parcel.is_scheduled:
            by_queue[parcel.queue.name].append(i)
    entries: dict[int, sqs.Entry] = {}
    for positions in by_queue.values():
        for i in positions:
            entries[i] = entry(parcels[i])
        batches = sqs.batches([entries[i].size for i in positions])
        work += [tuple(positions[k] for k in batch) for batch in batches]

    def send_some(positions: tuple[int, ...]) -> None:
        first = parcels[positions[0]]
        try:
            if first.is_scheduled:
                send(first)
                return
            name = first.queue.physical_name(settings.stage())
            refused = sqs.send_batch(name, [entries[i] for i in positions])
            answers = [problem.why if problem is not None else None for problem in refused]
        except Exception as error:  # noqa: BLE001 - the caller gets it for each parcel that wasn't sent
            answers = [f"{error_type(error)}: {error}"] * len(positions)
        for i, answer in zip(positions, answers, strict=True):
            problems[i] = answer

    if len(work) > 1:
        with ThreadPoolExecutor(min(PARALLEL_CALLS, len(work))) as pool:
            for _ in pool.map(send_some, work):
                pass
    else:
        for alone in work:
            send_some(alone)
    return problems


def fitted(name: str, message: Message, limit: int, *, long: bool = False) -> str:
    """The body of `message`. If it is larger than `limit` bytes, its arguments are stored in the payload bucket.

    `long`: the message will wait in a schedule, so its arguments are stored where the bucket keeps them longer.
    """
    if message.stored:
        # Arguments beside stored ones are never read. Another program may have written both, and made them too large.
        message = msgspec.structs.replace(message, args=NO_ARGS)
        return encode(msgspec.structs.replace(message, stored=payloads.kept(name, message.stored)) if long else message)
    body = encode(message)
    if len(body.encode()) <= limit:
        return body
    key = payloads.store(name, bytes(message.args), long=long)
    return encode(msgspec.structs.replace(message, args=msgspec.Raw(b"{}"), stored=key))


def fitted_message(parcel: Parcel) -> str:
    """The body of a parcel that the relay will send later."""
    name, limit = parcel.queue.physical_name(settings.stage()), parcel.queue.max_body_bytes
    return fitted(name, parcel.message, min(limit, MAX_SCHEDULED_BYTES), long=parcel.is_scheduled)


def entry(parcel: Parcel) -> sqs.Entry:
    """The entry that SQS or a schedule is to hold. Raises what AWS raises if a large payload can't be stored."""
    name = parcel.queue.physical_name(settings.stage())
    message, fifo, scheduled = parcel.message, parcel.queue.fifo, parcel.is_scheduled
    limit = min(parcel.queue.max_body_bytes, MAX_SCHEDULED_BYTES) if scheduled else parcel.queue.max_body_bytes
    return sqs.Entry(
        body=fitted(name, message, limit, long=scheduled),
        delay_seconds=0 if scheduled else ceil(parcel.delay.total_seconds()),
        group=parcel.group,
        deduplication=f"{message.id}-{message.turn}" if fifo else None,
        trace=parcel.trace or trace.current(),
    )
