"""What a worker wants to run, and the condition under which it may."""

import datetime as dt
from hashlib import sha256
from typing import Any, NamedTuple

from msgspec import Struct

from celeriac.leases import counters
from celeriac.leases.argument_hashes import ArgumentHashes
from celeriac.leases.states import DEAD, RETRYING
from celeriac.leases.status import milliseconds
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
    """When Lambda will have stopped this worker."""
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


class Condition(NamedTuple):
    """A condition expression of DynamoDB with its names and values."""

    expression: str
    names: dict[str, str]
    values: dict[str, Any]


def condition_of(claim: Claim, found: Found | None) -> Condition:
    """The condition under which a key may be claimed: its record is still the one that was `found`, or is free."""
    if found is not None:
        return Condition(
            "#token = :after AND #status = :expected",
            {"#token": "token", "#status": "status"},
            {":after": {"S": found.token}, ":expected": {"S": found.status}},
        )
    now = dt.datetime.now(dt.UTC)
    # In this order: the key is new. Its record has expired, and TTL hasn't deleted it yet. An earlier attempt of
    # this message has failed. An earlier run of this attempt wasn't charged. Another message of this key has
    # failed, unless the key may run only once.
    free = ["attribute_not_exists(id)", "expiration < :now"]
    values: dict[str, Any] = {":now": {"N": str(int(now.timestamp()))}, ":retrying": {"S": RETRYING}}
    if claim.comes_back:
        # SQS may deliver the message before its next attempt is due: it hides no message for longer than twelve
        # hours, and a call that hides it may fail.
        free.append("(#status = :retrying AND (attribute_not_exists(retry_at) OR retry_at <= :instant))")
        values[":instant"] = {"N": milliseconds(now)}
    else:
        free.append("(#status = :retrying AND attempt < :attempt)")
        free.append("(#status = :retrying AND attempt = :attempt AND #step < :step)")
        values |= {":attempt": {"N": str(claim.attempt)}, ":step": {"N": str(claim.step)}}
    if not claim.once:
        free.append("(#status IN (:retrying, :dead) AND task_id <> :me)")
        values |= {":dead": {"S": DEAD}, ":me": {"S": claim.task_id}}
    else:
        # Another message of this key has expired before any run, see `states.has_expired`.
        free.append("(#status = :dead AND attempt = :none AND attribute_exists(expired) AND task_id <> :me)")
        values |= {":dead": {"S": DEAD}, ":none": {"N": "0"}, ":me": {"S": claim.task_id}}
    if claim.comes_back:
        # A message that is dead doesn't run again because another one of its key has replaced its record.
        new, expired, *others = free
        free = [new, expired, *(f"(NOT contains(ended_messages, :mark) AND {other})" for other in others)]
        values[":mark"] = {"S": claim.mark}
    names = {"#status": "status"} | ({} if claim.comes_back else {"#step": "step"})
    return Condition(" OR ".join(free), names, values)
