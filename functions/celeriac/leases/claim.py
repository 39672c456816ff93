"""What a worker wants to run, and the condition under which it may."""

import datetime as dt
from hashlib import sha256
from typing import Any, NamedTuple

from msgspec import Struct

from celeriac.leases import counters
from celeriac.leases.argument_hashes import ArgumentHashes
from celeriac.model.failure import Failure

MESSAGE = "message"
"""The value of `key_from` for a key that the sender gave beside the arguments."""


def redrive_of(failure: Failure | None) -> str:
    """Identifies the dead letter that a message was redriven from, by its failure; empty if there is none."""
    if failure is None:
        return ""
    return f"{failure.last_at} {failure.request_id}" + (f" {failure.imported}" if failure.imported else "")


class Claim(Struct, frozen=True):
    """What a worker wants to run, and what its message says."""

    task: str
    key: str
    task_id: str
    attempt: int
    until: dt.datetime
    """When Lambda will have stopped this worker. Outside of Lambda: until when the lease lasts if it isn't renewed."""
    retention: dt.timedelta
    alone: bool = False
    """Nothing else runs in this worker. If the worker dies, this task is the cause."""
    redriven_from: Failure | None = None
    """The failure of the dead letter from which this message was redriven; None for any other message."""
    once: bool = False
    """The key must never run again, with no message. True for at_most_once."""
    comes_back: bool = False
    """The queue is FIFO: after a failed attempt the same message comes again, and the record counts attempts."""
    of_message: bool = False
    """The task is at_least_once: the record is about one message, whose deaths it counts, and isn't about the key."""
    key_from: str = ""
    """`message` if the sender gave the key beside the arguments."""
    hashes: ArgumentHashes | None = None
    """Hashes of the message's arguments. None for arguments without a JSON form."""
    step: int = 0
    """Number of uncharged runs of this attempt so far."""
    is_first: bool = False
    """The message has been sent once and received once, as far as it says: most likely its key is new."""

    message_lives: dt.timedelta = dt.timedelta(days=14)
    """How long SQS keeps a message of the queue."""
    history: bool = False
    """The queue keeps a history, and the record is of a key."""
    request_id: str = ""
    """The request id of the worker's invocation."""

    @property
    def redriven(self) -> str:
        """Identifies the dead letter of a redrive: the same text for every copy of one redrive."""
        return redrive_of(self.redriven_from)

    @property
    def mark(self) -> str:
        """Tells this message, or this redrive of it, from others that share the key."""
        return sha256(f"{self.task_id} {self.redriven}".encode()).hexdigest()[:12]

    @property
    def counter(self) -> str:
        """The attribute that counts failed attempts of this message."""
        return counters.name_of(self.mark)


class Record(dict[str, Any]):
    """The record of a key as plain values."""

    item: Any
    """The record as DynamoDB has it."""


class Found(NamedTuple):
    """A record that a claim takes over, if the record still has this token and status."""

    token: str
    status: str
    item: Any
    """The whole record, as DynamoDB has it."""
