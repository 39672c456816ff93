"""Messages that may crash their worker, and so run one by one: their order, and which must not wait longer."""

import random
from collections.abc import Sequence

from celeriac.consume.copies import is_worn
from celeriac.consume.outcome import HandedBack
from celeriac.consume.sqs_record import SqsRecord
from celeriac.model.queue import Queue

type SuspectMessage = tuple[SqsRecord, Queue]


def in_order(suspects: Sequence[SuspectMessage]) -> list[SuspectMessage]:
    """The suspects in random order: a message that crashes its worker each time must not always be the first."""
    return random.sample(suspects, len(suspects))


def tired_of_waiting(sqs_record: SqsRecord, queue: Queue) -> HandedBack | None:
    """A fresh copy, if waiting behind crashing messages has worn out the message.

    A healthy message must not become a dead letter by waiting. The copy brings along how many workers have died of the
    message, so a crashing message still ends after its three crashes.
    """
    return HandedBack("messages that may crash their worker run before it") if is_worn(sqs_record, queue) else None
