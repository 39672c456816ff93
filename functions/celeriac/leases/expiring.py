"""Records that a message has expired, so that no copy of it starts, unless it has started before."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from celeriac.aws.client import client
from celeriac.aws.items import plain
from celeriac.leases import history, progress, tombstones
from celeriac.leases.states import COMPLETED, DEAD, EXPIRED, RETRYING
from celeriac.leases.store import store
from celeriac.model import names, settings
from celeriac.model.failure import Failure, recorded
from celeriac.model.message import Message

type Expired = Literal["expired", "used", "of another"]
"""What the record of the key says now: that the message has expired; that it has started before, or that its work is
done; or what becomes of another message of the key."""

# A claim wrote these, and gave them back.
_OF_A_CLAIM = (
    *("retry_at", "unsent", "redriven", "data", "not_kept", "in_progress_expiration", "started_at", "ended_at"),
    *(history.RUN_OF, history.RUNS),
    *progress.ATTRIBUTES,
)


def expire(
    message: Message,
    key: str,
    failure: Failure,
    retention: timedelta,
    *,
    key_from: str = "",
    keeps_history: bool = False,
) -> Expired:
    """Record that the message has expired, unless it has started before, or the record is another message's.

    key: the whole key, `<task>:<value>`. Another message's record stays as it is: its next attempt needs it. Raises
    AWS's errors.
    """
    now, token = datetime.now(UTC), os.urandom(12).hex()
    table = names.idempotency_table(settings.stage())
    values: dict[str, Any] = {
        "status": {"S": DEAD},
        tombstones.STATE_UNTIL: {"N": str(int((now + retention).timestamp()))},
        "token": {"S": token},
        "task_id": {"S": message.id},
        "attempt": {"N": "0"},
        "step": {"N": "0"},
        "key_from": {"S": key_from},
        EXPIRED: {"N": "1"},
        "failure": {"S": msgspec.json.encode(recorded(message.task, failure)).decode()},
        **(history.of_expiry(message.task, token) if keeps_history else {}),
    }
    removed = {f"#removed_{number}": name for number, name in enumerate(_OF_A_CLAIM) if name not in values}
    # In this order: the key is new. Its record is a mere tombstone, or its state isn't kept any more. A worker has
    # claimed the message, and has given the claim back before the task was started.
    condition = (
        "attribute_not_exists(id) OR (expiration >= :now AND (attribute_not_exists(#status) OR state_until < :now OR "
        "(task_id = :me AND #status = :retrying AND attempt = :none)))"
    )
    dynamodb = client("dynamodb")
    record = {"id": {"S": store(message.task, table, retention).record_id(key)}}
    try:
        dynamodb.update_item(
            TableName=table,
            Key=record,
            # An update keeps what a FIFO queue's records count, see `celeriac.leases.counters`, and tombstones.
            UpdateExpression=(
                f"SET {', '.join(f'#{name} = :{name}' for name in values)}, expiration = {tombstones.KEPT} "
                f"REMOVE {', '.join(removed)}"
            ),
            ConditionExpression=condition,
            ExpressionAttributeNames={f"#{name}": name for name in values} | removed,
            ExpressionAttributeValues={f":{name}": value for name, value in values.items()}
            | {
                ":now": {"N": str(int(now.timestamp()))},
                ":me": {"S": message.id},
                ":retrying": {"S": RETRYING},
                ":none": {"N": "0"},
            },
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        found = plain(error.response.get("Item")) or {}
        if int(found.get("expiration", 0)) < now.timestamp():
            return _replace(table, record, values, now)
        return _said(found, message.id)
    return "expired"


def _replace(table: str, record: Any, values: dict[str, Any], now: datetime) -> Expired:
    """Write the record in place of one that isn't kept any more: what that one says would count again otherwise."""
    dynamodb = client("dynamodb")
    try:
        dynamodb.put_item(
            TableName=table,
            Item={**record, **values, "expiration": values[tombstones.STATE_UNTIL]},
            ConditionExpression="attribute_not_exists(id) OR expiration < :now",
            ExpressionAttributeValues={":now": {"N": str(int(now.timestamp()))}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        return _said(plain(error.response.get("Item")) or {}, values["task_id"]["S"])
    return "expired"


def _said(found: dict[str, Any], message_id: str) -> Expired:
    if found.get("status") == COMPLETED:
        return "used"
    if found.get("task_id") != message_id:
        return "of another"
    # Also if AWS carried out an earlier try of this call, and its answer was lost.
    is_over = found.get("status") == DEAD and msgspec.json.decode(found["failure"], type=Failure).is_cancelled
    return "expired" if is_over else "used"
