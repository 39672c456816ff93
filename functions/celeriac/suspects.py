"""Messages that may kill their worker: in which order they run, one by one, and which of them must not wait longer."""

import random
from collections.abc import Sequence

from celeriac import registry
from celeriac.message import Malformed, NewerVersion
from celeriac.outcome import HandedBack
from celeriac.queue import Queue
from celeriac.record import Record
from celeriac.run import as_it_came

type Suspect = tuple[Record, Queue]


def in_order(suspects: Sequence[Suspect]) -> list[Suspect]:
    """First those that only SQS remembers, which nothing can spare; among equals in any order.

    One that kills its worker each time must not always be the first.
    """
    return sorted(random.sample(suspects, len(suspects)), key=lambda suspect: copied(*suspect) is not None)


def tired_of_waiting(record: Record, queue: Queue) -> HandedBack | None:
    """A fresh copy, if waiting behind killers has used up half of the receives that SQS allows.

    A healthy message must not die of that. What its task's lease remembers stays, so a killer among them ends after
    its three crashes all the same.
    """
    return copied(record, queue) if 2 * record.receives >= queue.receive_limit else None


def copied(record: Record, queue: Queue) -> HandedBack | None:
    """Its copy; None where a copy would lose its place in a FIFO queue, or the count of its crashes."""
    if queue.fifo:
        return None
    try:
        message = as_it_came(record)
    except (Malformed, NewerVersion):
        return None
    task = registry.tasks.get(message.task)
    if task is None or task.delivery == "at_least_once":
        return None
    return HandedBack("others that may kill their worker run before it", message=message)
