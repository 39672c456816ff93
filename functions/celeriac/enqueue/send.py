"""Putting a task's message where it will be found: in its queue, or in a schedule until it is due."""

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
# What a schedule's target can carry: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_Target.html
MAX_SCHEDULED_BYTES = 262_144
# Calls at once of `send_many`: more than boto3's pool of connections would only queue up.
PARALLEL_CALLS = 8


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message on its way to a queue."""

    queue: Queue
    message: Message
    delay: timedelta = NOW
    group: str | None = None
    trace: str | None = None
    """The header of the X-Ray trace that it belongs to, where that isn't the current one. A schedule carries none."""

    @property
    def is_scheduled(self) -> bool:
        """Whether it waits longer than SQS can."""
        return self.delay > MAX_DELAY


class Enqueueable(Protocol):
    """What a transaction can enqueue: a task, with its options."""

    @property
    def name(self) -> str:
        """The task's name."""

    def parcel(self, *args: Any, **kwargs: Any) -> Parcel:
        """What its `enqueue` would send. Raises what that raises."""


def send(parcel: Parcel) -> None:
    """Send it: by SQS up to 15 minutes ahead, by a schedule beyond. When this returns, AWS has it."""
    name = parcel.queue.physical_name(settings.stage())
    if parcel.is_scheduled:
        scheduler.send_later(name, entry(parcel), delay=parcel.delay, of=parcel.message)
    else:
        sqs.send(name, entry(parcel))


def send_many(parcels: Sequence[Parcel]) -> list[str | None]:
    """Send parcels in as few calls as SQS allows, several calls at once.

    The answer holds, in their order, None or why a parcel wasn't taken: what one call meets says nothing of the
    others. Only storing a large payload raises what AWS raises, before anything is sent.
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
        except Exception as error:  # noqa: BLE001 - whatever it was, the caller learns which weren't sent
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
    """The body of `message`, its arguments left in the payload bucket if it is larger than `limit` bytes.

    `long`: it will wait for longer than stored arguments live unless they are put where they live longer.
    """
    if message.stored:
        # Nothing reads arguments beside stored ones: a stranger may have written both, and too many.
        message = msgspec.structs.replace(message, args=NO_ARGS)
        return encode(msgspec.structs.replace(message, stored=payloads.kept(name, message.stored)) if long else message)
    body = encode(message)
    if len(body.encode()) <= limit:
        return body
    key = payloads.store(name, bytes(message.args), long=long)
    return encode(msgspec.structs.replace(message, args=msgspec.Raw(b"{}"), stored=key))


def fitted_message(parcel: Parcel) -> str:
    """The body that a parcel will have, for what sends it later."""
    name, limit = parcel.queue.physical_name(settings.stage()), parcel.queue.max_body_bytes
    return fitted(name, parcel.message, min(limit, MAX_SCHEDULED_BYTES), long=parcel.is_scheduled)


def entry(parcel: Parcel) -> sqs.Entry:
    """What SQS, or a schedule, is to hold. Raises what AWS raises where a large payload can't be stored."""
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
