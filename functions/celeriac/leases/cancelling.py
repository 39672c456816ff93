"""Cancels one message: the record of its key says so, and no copy of it is claimed any more, wherever it is.

The record lives for 400 days from then on, because the message may be delayed for a year. See `tombstones`.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from celeriac.aws.client import client
from celeriac.leases import history, tombstones
from celeriac.leases.claim import Record
from celeriac.leases.claim_write import record_of
from celeriac.leases.states import COMPLETED, DEAD, INPROGRESS, RETRYING
from celeriac.leases.status import milliseconds
from celeriac.leases.store import store
from celeriac.leases.tombstones import Cancellation
from celeriac.model import names, settings
from celeriac.model.errors import CeleriacError
from celeriac.model.failure import Failure
from celeriac.model.reason import Reason

type Said = Literal["cancelled", "stopping", "used", "succeeded", "dead", "running"]
"""What the record says now. cancelled: it never runs any more. stopping: it runs, and is asked to stop. used: cancelled
too, and another message of its key has succeeded. succeeded, dead: it has ended. running: it runs, and goes on.
"""

MOST_CANCELLED = 1_000
"""Messages of one key. DynamoDB takes 400 KB for a record, and each write of it costs by its size."""


class TooManyCancelledError(CeleriacError, ValueError):
    """So many messages of the key are cancelled that its record has no room for another one. Nothing was cancelled."""

    def __init__(self) -> None:
        super().__init__(
            f"{MOST_CANCELLED:,} messages of this key are cancelled already, and its record remembers no more, until "
            f"{tombstones.LIVES.days} days after the last one. Let the task itself ask whether it is still wanted"
        )


# Between a refusal and the next write another worker may have replaced an expired record.
_MOST_TRIES = 3


def cancel(
    task: str,
    key: str,
    said: Cancellation,
    retention: timedelta,
    *,
    once: bool = False,
    stops: bool = True,
    key_from: str = "",
) -> Said:
    """Record that a message is cancelled, unless it has ended.

    key: the whole key, `<task>:<value>`. once: the task is at_most_once: nobody can stop it once it runs.
    stops: whether a message that runs is asked to stop.
    key_from: where its key comes from, if that is known, see `Claim`.

    Said twice, it is the same. Raises AWS's errors.
    """
    table = names.idempotency_table(settings.stage())
    where: Any = {"TableName": table, "Key": {"id": {"S": store(task, table, retention).record_id(key)}}}
    for _ in range(_MOST_TRIES - 1):
        answer = _add(task, where, said, retention, once=once, stops=stops, key_from=key_from)
        if answer is not None:
            return answer
        if _replace(where, said, retention, key_from=key_from):
            return "cancelled"
    raise TimeoutError("other messages of its key replace its record all the time: cancel it again")


def _add(
    task: str, where: Any, said: Cancellation, retention: timedelta, *, once: bool, stops: bool, key_from: str
) -> Said | None:
    """Add the tombstone to a record that hasn't expired; None if it has."""
    now = datetime.now(UTC)
    # In this order: the key is new. Its record is a mere tombstone, or its state isn't kept any more. An attempt has
    # failed, of this message or of another. Another message of the key runs or has ended.
    free = ["attribute_not_exists(#status)", "state_until < :now", "#status = :retrying", "task_id <> :me"]
    if stops and not once:
        free.append("#status = :inprogress")
    elif not once:
        free.append("(#status = :inprogress AND in_progress_expiration < :instant)")  # its worker has died
    values: dict[str, Any] = {
        ":now": {"N": str(int(now.timestamp()))},
        ":me": {"S": said.id},
        ":retrying": {"S": RETRYING},
        ":own_end": {"N": str(int((now + retention).timestamp()))},
        ":ids": {"SS": [said.id]},
        ":reason": {"S": msgspec.json.encode(said).decode()},
        ":until": {"N": _until(now)},
        ":key_from": {"S": key_from},
        ":most": {"N": str(MOST_CANCELLED)},
    }
    if not once:
        values[":inprogress"] = {"S": INPROGRESS}
    if not once and not stops:
        values[":instant"] = {"N": milliseconds(now)}
    dynamodb = client("dynamodb")
    try:
        answer = dynamodb.update_item(
            **where,
            UpdateExpression=(
                f"ADD {tombstones.CANCELLED} :ids SET {tombstones.REASON} = :reason, {tombstones.UNTIL} = :until, "
                # A record of an older release has one end. The state in it mustn't live as long as the tombstone.
                f"{tombstones.STATE_UNTIL} = if_not_exists({tombstones.STATE_UNTIL}, :own_end), expiration = :until, "
                "key_from = if_not_exists(key_from, :key_from)"
            ),
            ConditionExpression=(
                f"attribute_not_exists(id) OR (expiration >= :now AND ({' OR '.join(free)}) AND "
                f"(attribute_not_exists({tombstones.CANCELLED}) OR size({tombstones.CANCELLED}) < :most OR "
                f"contains({tombstones.CANCELLED}, :me)))"
            ),
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=values,
            ReturnValues="ALL_OLD",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        found = record_of(error.response.get("Item"))
        is_full = len(found.get(tombstones.CANCELLED, ())) >= MOST_CANCELLED
        if is_full and not tombstones.names(found, said.id) and _refused(found, now) == "running":
            raise TooManyCancelledError from error
        return _refused(found, now)
    before = record_of(answer.get("Attributes"))
    _list(where, history.of_cancel(task, before, said.id), str(before.get("token", "")))
    return _done(before, said.id, now)


def _list(where: Any, attributes: Any, token: str) -> None:
    """List a message among the runs that have ended, unless its record has changed. Without attributes nothing is."""
    if not attributes:
        return
    dynamodb = client("dynamodb")
    with suppress(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.update_item(
            **where,
            UpdateExpression=f"SET {', '.join(f'{name} = :{name}' for name in attributes)}",
            ConditionExpression="#token = :token AND #status = :retrying",
            ExpressionAttributeNames={"#token": "token", "#status": "status"},
            ExpressionAttributeValues={
                ":token": {"S": token},
                ":retrying": {"S": RETRYING},
                **{f":{name}": value for name, value in attributes.items()},
            },
        )


def _replace(where: Any, said: Cancellation, retention: timedelta, *, key_from: str) -> bool:
    """Write a mere tombstone in place of an expired record. What that one says would count again otherwise."""
    now = datetime.now(UTC)
    dynamodb = client("dynamodb")
    try:
        dynamodb.put_item(
            TableName=where["TableName"],
            Item={
                **where["Key"],
                tombstones.CANCELLED: {"SS": [said.id]},
                tombstones.REASON: {"S": msgspec.json.encode(said).decode()},
                tombstones.UNTIL: {"N": _until(now)},
                tombstones.STATE_UNTIL: {"N": str(int((now + retention).timestamp()))},
                "expiration": {"N": _until(now)},
                "key_from": {"S": key_from},
            },
            ConditionExpression="attribute_not_exists(id) OR expiration < :now",
            ExpressionAttributeValues={":now": {"N": str(int(now.timestamp()))}},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False  # another worker was faster; or an earlier try was carried out, and adding finds its tombstone
    return True


def _until(now: datetime) -> str:
    return str(int((now + tombstones.LIVES).timestamp()))


def _done(before: Record, message_id: str, now: datetime) -> Said:
    if before.get("status") == COMPLETED and not tombstones.state_is_over(before, now):
        return "used"
    is_held = before.get("status") == INPROGRESS and before.get("task_id") == message_id
    if is_held and int(before.get("in_progress_expiration", 0)) > int(milliseconds(now)):
        return "stopping"
    return "cancelled"


def _refused(found: Record, now: datetime) -> Said | None:
    if int(found.get("expiration", 0)) < int(now.timestamp()):
        return None
    match found.get("status"):
        case status if status == COMPLETED:
            return "succeeded"
        case status if status == DEAD:
            failure = msgspec.json.decode(found["failure"], type=Failure) if "failure" in found else None
            is_cancelled = failure is not None and failure.is_cancelled and failure.reason == Reason.CANCELLED
            return "cancelled" if is_cancelled else "dead"
        case _:
            return "running"
