"""What a record remembers of cancelled messages: their ids, until when, and who cancelled the last one, and why.

A message may be cancelled long before it comes, and other messages of its key run meanwhile. So a record has two ends:
`state_until`, that of its state, which each claim and each success sets anew, and `cancelled_until`, that of its
tombstone. `expiration` is the later one. A record without a state is a mere tombstone.
"""

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac.leases.states import INPROGRESS

if TYPE_CHECKING:
    from celeriac.leases.claim import Claim

CANCELLED = "cancelled"
"""The attribute: a set of message ids."""
UNTIL = "cancelled_until"
"""The attribute: seconds since 1970."""
REASON = "cancel_reason"
"""The attribute: a `Cancellation`, as JSON."""
STATE_UNTIL = "state_until"
ATTRIBUTES = (CANCELLED, UNTIL, REASON)
LIVES = dt.timedelta(days=400)
"""A delay lasts a year at most, and a queue keeps a message for 14 days more."""
# A claim and the success that follows it are less than this apart.
_SLACK = dt.timedelta(days=1)
KEPT = f"if_not_exists({UNTIL}, :state_until)"
"""The end of a record with such a state: never before that of its tombstone."""


class Cancellation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who cancelled a message, when and why."""

    id: str
    """The message's id."""
    by: str
    why: str
    at: dt.datetime

    @property
    def text(self) -> str:
        """In a sentence."""
        return f"{self.by} cancelled it" + (f": {self.why}" if self.why else "")


def names(record: Mapping[str, Any], message_id: str) -> bool:
    """Whether a record says that this message is cancelled, at some time of its life."""
    return message_id in record.get(CANCELLED, ())


def forbids(record: Mapping[str, Any], claim: "Claim") -> bool:
    """Whether a record forbids this claim. A dead letter that is redriven runs, if it was cancelled before that."""
    if claim.of_message or not names(record, claim.task_id):
        return False
    return not claim.redriven or record.get("redriven", "") == claim.redriven


def allowed(claim: "Claim") -> tuple[str, dict[str, Any]]:
    """The condition that no tombstone forbids the claim, and its values; empty if none can."""
    if claim.of_message:
        return "", {}
    condition, values = f"NOT contains({CANCELLED}, :claimed)", {":claimed": {"S": claim.task_id}}
    if claim.redriven:
        condition = f"({condition} OR attribute_not_exists(redriven) OR redriven <> :life)"
        values[":life"] = {"S": claim.redriven}
    return condition, values


def is_in_vain(record: Mapping[str, Any], state_until: int) -> bool:
    """Whether a record's tombstone would end before the state that a claim gives it.

    Then no message that it names can come any more, and the claim removes it.
    """
    return UNTIL in record and int(record[UNTIL]) < least(state_until)


def least(state_until: int) -> int:
    """A tombstone that ends before this is in vain."""
    return state_until + int(_SLACK.total_seconds())


def state_is_over(record: Mapping[str, Any], now: dt.datetime) -> bool:
    """Whether a record's state isn't kept any more. Its tombstone may be."""
    return int(record.get(STATE_UNTIL, record.get("expiration", 0))) < int(now.timestamp())


def living(record: Mapping[str, Any], now: dt.datetime) -> Mapping[str, Any]:
    """What counts of a record now: all of it, nothing, or its tombstone alone."""
    if int(record.get("expiration", 0)) < int(now.timestamp()):
        return {}
    if state_is_over(record, now):
        return {name: record[name] for name in ("expiration", *ATTRIBUTES) if name in record}
    return record


def has_stopped(record: Mapping[str, Any], message_id: str, now: dt.datetime) -> bool:
    """Whether a record says that this message is cancelled, and it doesn't run now."""
    if not names(record, message_id) or int(record.get("expiration", 0)) < now.timestamp():
        return False
    is_held = record.get("status") == INPROGRESS and record.get("task_id") == message_id
    return not (is_held and int(record.get("in_progress_expiration", 0)) > now.timestamp() * 1000)


def last(record: Mapping[str, Any]) -> Cancellation | None:
    """The last cancellation of a message of the key."""
    try:
        return msgspec.json.decode(record.get(REASON, "null"), type=Cancellation | None)
    except msgspec.MsgspecError:
        return None  # a newer release wrote it


def cancellation(record: Mapping[str, Any], message_id: str) -> Cancellation | None:
    """Who cancelled this message, and why. None if another message of the key was cancelled after it."""
    found = last(record)
    return found if found is not None and found.id == message_id else None
