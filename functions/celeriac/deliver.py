"""Putting a task's message where it will be found: in its queue, or in a schedule until it is due."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

import msgspec

from celeriac import payloads, schedule, settings, sqs
from celeriac.message import Message, encode
from celeriac.queue import MAX_DELAY, Queue

NOW = timedelta()


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message on its way to a queue."""

    queue: Queue
    message: Message
    delay: timedelta = NOW
    group: str | None = None


def deliver(parcel: Parcel) -> None:
    """Send it: by SQS up to 15 minutes ahead, by a schedule beyond. When this returns, AWS has it."""
    name = parcel.queue.physical_name(settings.stage())
    entry = _entry(name, parcel)
    if parcel.delay <= MAX_DELAY:
        sqs.send(name, entry)
    else:
        # The attempt is part of the name: a crashed worker's successor makes the same schedule, not a second one.
        label = f"{parcel.message.id}-{parcel.message.attempt}"
        schedule.send_later(name, entry, delay=parcel.delay, name=label)


def deliver_batch(queue: Queue, parcels: Sequence[Parcel]) -> list[str | None]:
    """Send parcels of one queue, due within 15 minutes, in as few calls as SQS allows.

    The answer holds, in their order, None or why SQS didn't take one. A call that fails altogether raises; what
    earlier calls sent stays sent.
    """
    name = queue.physical_name(settings.stage())
    entries = [_entry(name, parcel) for parcel in parcels]
    problems: list[str | None] = []
    for positions in sqs.batches([entry.size for entry in entries]):
        problems += sqs.send_batch(name, [entries[i] for i in positions])
    return problems


def fitted(name: str, message: Message, limit: int) -> str:
    """The body of `message`, its arguments left in the payload bucket if it is larger than `limit` bytes."""
    body = encode(message)
    if len(body.encode()) <= limit or message.stored:
        return body
    key = f"args/{message.id}"
    payloads.store(name, key, bytes(message.args))
    return encode(msgspec.structs.replace(message, args=msgspec.Raw(b"{}"), stored=key))


def _entry(name: str, parcel: Parcel) -> sqs.Entry:
    message, fifo = parcel.message, parcel.queue.fifo
    return sqs.Entry(
        body=fitted(name, message, parcel.queue.max_body_bytes),
        delay_seconds=0 if fifo or parcel.delay > MAX_DELAY else ceil(parcel.delay.total_seconds()),
        group=parcel.group,
        deduplication=f"{message.id}-{message.attempt}" if fifo else None,
    )
