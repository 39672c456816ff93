"""Messages that may kill their worker: in which order they run, one by one, and which of them must not wait longer."""

import random
from collections.abc import Sequence

from celeriac.aws.sqs_record import SqsRecord
from celeriac.consume.outcome import HandedBack
from celeriac.consume.received import as_it_came
from celeriac.model.message import MalformedMessageError, NewerVersionError
from celeriac.model.queue import Queue

type SuspectMessage = tuple[SqsRecord, Queue]


def in_order(suspects: Sequence[SuspectMessage]) -> list[SuspectMessage]:
    """Any order: one that kills its worker each time must not always be the first."""
    return random.sample(suspects, len(suspects))


def tired_of_waiting(record: SqsRecord, queue: Queue) -> HandedBack | None:
    """A fresh copy, if waiting behind killers has used up half of the receives that SQS allows.

    A healthy message must not die of that. What its task's lease remembers stays, so a killer among them ends after
    its three crashes all the same. None on a FIFO queue, where a copy would lose its place, and for what can't be
    read, which kills nobody.
    """
    if queue.fifo or 2 * record.receives < queue.receive_limit:
        return None
    try:
        return HandedBack("others that may kill their worker run before it", message=as_it_came(record))
    except (MalformedMessageError, NewerVersionError):
        return None
