"""What a record remembers of a task's progress: its cursor, of which arguments, and in which attempt it last moved."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from celeriac.leases import tombstones
from celeriac.leases.claim import Claim
from celeriac.leases.states import INPROGRESS, RETRYING
from celeriac.leases.tombstones import state_is_over
from celeriac.model.canonical import FORM

ATTRIBUTES = ("cursor", "cursor_of", "checkpoints", "moved")
"""All that a record has of it. A success removes them."""


class Moved(NamedTuple):
    """Of one message, or one redrive of it."""

    attempt: int = 0
    """The attempt in which its cursor last moved; 0 if it hasn't."""
    parts: int = 0
    """How many of its runs went on in the next invocation."""


def is_of_another(record: Mapping[str, Any], claim: Claim) -> bool:
    """Whether another message has saved a cursor of other arguments, and goes on or is tried again, after a death too.

    Its work is half done. If this claim passed, it would overwrite the cursor, and what is done would be done twice.
    A message that SQS can't have any more doesn't come again, and neither does one that is cancelled.
    """
    if claim.of_message or "cursor" not in record or _has_expired(record):
        return False
    if record.get("status") not in {RETRYING, INPROGRESS}:
        return False
    if record.get("task_id") == claim.task_id or _is_of(str(record.get("cursor_of", "")), claim):
        return False
    if tombstones.names(record, str(record.get("task_id", ""))):
        return False
    last = max(int(record.get("in_progress_expiration", 0)), int(record.get("retry_at", 0)))
    return last >= _gone(claim)


def is_no_others(claim: Claim) -> tuple[str, dict[str, str], dict[str, Any]]:
    """The condition that `is_of_another` is False of a RETRYING record, with its names and values."""
    mine = ["attribute_not_exists(#cursor)", "task_id = :claimer", f"contains({tombstones.CANCELLED}, task_id)"]
    values: dict[str, Any] = {":claimer": {"S": claim.task_id}, ":gone": {"N": str(_gone(claim))}}
    if claim.hashes is not None:
        mine += ["contains(cursor_of, :sent)", "contains(cursor_of, :arrived)"]
        values |= {":sent": {"S": claim.hashes.sent}, ":arrived": {"S": claim.hashes.arrived}}
    gone = "(in_progress_expiration < :gone AND (attribute_not_exists(retry_at) OR retry_at < :gone))"
    return " OR ".join([*mine, gone]), {"#cursor": "cursor"}, values


def _gone(claim: Claim) -> int:
    """SQS has no message any more that was to be delivered before this: milliseconds since 1970."""
    return int((dt.datetime.now(dt.UTC) - claim.message_lives).timestamp() * 1000)


def cursor_in(record: Mapping[str, Any], claim: Claim) -> str | None:
    """The cursor that a claim's run goes on from, as JSON; None if it starts at the beginning."""
    if _has_expired(record) or not _is_of(str(record.get("cursor_of", "")), claim):
        return None
    cursor = record.get("cursor")
    return str(cursor) if cursor is not None else None


def moved_in(record: Mapping[str, Any], claim: Claim) -> Moved:
    """How far the record's message had come in its life so far, if it is the claim's."""
    mark, *numbers = str(record.get("moved", "")).split(" ")
    if mark != claim.mark or len(numbers) != len(Moved._fields) or _has_expired(record):
        return Moved()
    return Moved(*(int(number) for number in numbers))


def checkpoints_in(record: Mapping[str, Any]) -> int:
    """How many checkpoints a record has had."""
    return int(record.get("checkpoints", 0))


def is_written(record: Mapping[str, Any], number: int, token: str) -> bool:
    """Whether a record that a worker still holds has its checkpoint of this number, and no later one."""
    holds = record.get("token") == token and record.get("status") == INPROGRESS
    return holds and checkpoints_in(record) == number


def update(cursor: str, number: int, moved: Moved, claim: Claim, token: str) -> dict[str, Any]:
    """The write of a checkpoint, without its table and key.

    number: that of the checkpoint. A write with an earlier one, which was slow, comes too late.
    """
    return {
        # A worker that dies from here on dies of what it did after this.
        "UpdateExpression": (
            "SET #cursor = :cursor, cursor_of = :of, checkpoints = :number, moved = :moved, crashes = :crashes, "
            "deaths = :none"
        ),
        "ConditionExpression": (
            "#token = :token AND #status = :inprogress AND (attribute_not_exists(checkpoints) OR checkpoints < :number)"
        ),
        "ExpressionAttributeNames": {"#cursor": "cursor", "#token": "token", "#status": "status"},
        "ExpressionAttributeValues": {
            ":cursor": {"S": cursor},
            ":of": {"S": _of(claim)},
            ":number": {"N": str(number)},
            ":moved": {"S": moved_text(moved, claim)},
            ":crashes": {"N": str(int(claim.alone))},
            ":none": {"N": "0"},
            ":token": {"S": token},
            ":inprogress": {"S": INPROGRESS},
        },
    }


def moved_text(moved: Moved, claim: Claim) -> str:
    """The attribute `moved`."""
    return f"{claim.mark} {moved.attempt} {moved.parts}"


def _of(claim: Claim) -> str:
    """Whose cursor it is: that of the arguments, whichever message has them. Without hashes, of the one message."""
    return f"{FORM} {claim.hashes.sent} {claim.hashes.arrived}" if claim.hashes is not None else f"- {claim.mark}"


def _is_of(written: str, claim: Claim) -> bool:
    form, *hashes = written.split(" ")
    if claim.hashes is None or form != str(FORM):
        return written == _of(claim)
    return any(one == other for one, other in zip(hashes, claim.hashes, strict=False))


def _has_expired(record: Mapping[str, Any]) -> bool:
    return state_is_over(record, dt.datetime.now(dt.UTC))
