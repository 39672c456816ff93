"""The write of a claim: a new record, or a claim of the one that is there, which keeps what the record remembers.

What a task has saved of its progress, and which messages are cancelled, must outlive the claims of a key. So a claim
replaces a record only if there is none, or an expired one; any other claim is an update. Usually the first of the two
writes is the right one. If it isn't, the record that it met tells whether the other one is.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from celeriac.aws.client import client
from celeriac.leases import crashes
from celeriac.leases.claim import Claim, Found, Record
from celeriac.leases.states import COMPLETED, DEAD, INPROGRESS, RETRYING
from celeriac.leases.status import milliseconds

ENDED = ("failure", "retry_at", "unsent", "data", "ended_at", "not_kept", "expired")
"""What a record says of how the run before has ended."""


class Condition(NamedTuple):
    """A condition expression of DynamoDB with its names and values."""

    expression: str
    names: dict[str, str]
    values: dict[str, Any]


class Refused(Exception):  # noqa: N818 - a signal isn't an error
    """The record doesn't let this claim pass. `found` is the record."""

    def __init__(self, found: Record) -> None:
        super().__init__("the record is another one")
        self.found = found


def write(table: str, key: Any, item: Mapping[str, Any], claim: Claim, after: Found | None) -> Record:
    """Write the claim. Returns the record that it replaced or changed; empty if there was none.

    key, item: as DynamoDB has them. after: the record to take over, if it is still the same; None claims a free key.

    Raises Refused, and AWS's errors.
    """
    if after is not None:
        return _changed(table, key, item, claim, _same(after))
    now = dt.datetime.now(dt.UTC)
    if not claim.is_first:
        try:
            return _changed(table, key, item, claim, _free(claim, now, or_new=True))
        except Refused as refused:
            if not _has_expired(refused.found, now):
                raise
        return _new(table, key, item, now)
    try:
        return _new(table, key, item, now)
    except Refused as refused:
        if _has_expired(refused.found, now) or not may_pass(claim, refused.found):
            raise
    return _changed(table, key, item, claim, _free(claim, now, or_new=False))


def may_pass(claim: Claim, found: Mapping[str, Any]) -> bool:
    """Whether a record that is there, and hasn't expired, may let the claim pass. Its write then decides."""
    status, is_mine = found.get("status"), found.get("task_id") == claim.task_id
    if status in {INPROGRESS, COMPLETED}:
        return False
    if status == RETRYING and is_mine and not claim.comes_back:
        return (int(found.get("attempt", 0)), int(found.get("step", 0))) < (claim.attempt, claim.step)
    return not (status == DEAD and is_mine)


def _new(table: str, key: Any, item: Mapping[str, Any], now: dt.datetime) -> Record:
    # In this order: the key is new. Its record has expired, and TTL hasn't deleted it yet.
    condition = Condition(
        "attribute_not_exists(id) OR expiration < :now", {}, {":now": {"N": str(int(now.timestamp()))}}
    )
    return _carried_out(
        client("dynamodb").put_item,
        condition,
        TableName=table,
        Item={**key, **item},
    )


def _changed(table: str, key: Any, item: Mapping[str, Any], claim: Claim, condition: Condition) -> Record:
    # On a FIFO queue the same message comes back, and its record says how its last run ended.
    gone = ["unsent"] if claim.comes_back else [*ENDED, *({crashes.OTHERS} - item.keys())]
    names = {f"#{name}": name for name in [*item, *gone]}
    sets, removes = [f"#{name} = :new_{name}" for name in item], [f"#{name}" for name in gone]
    return _carried_out(
        client("dynamodb").update_item,
        Condition(condition.expression, names | condition.names, condition.values),
        TableName=table,
        Key=key,
        UpdateExpression=f"SET {', '.join(sets)} REMOVE {', '.join(removes)}",
        ExpressionAttributeValues={f":new_{name}": value for name, value in item.items()},
    )


def _carried_out(call: Any, condition: Condition, **arguments: Any) -> Record:
    values = arguments.pop("ExpressionAttributeValues", {}) | condition.values
    names = {"ExpressionAttributeNames": condition.names} if condition.names else {}
    try:
        answer = call(
            ConditionExpression=condition.expression,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_OLD",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **names,
            **arguments,
        )
    except client("dynamodb").exceptions.ConditionalCheckFailedException as error:
        raise Refused(record_of(error.response.get("Item"))) from error
    return record_of(answer.get("Attributes"))


def record_of(item: Any) -> Record:
    """An item as a record of plain values: texts, also for numbers, and lists of texts."""
    record = Record({name: next(iter(value.values())) for name, value in (item or {}).items()})
    record.item = item or {}
    return record


def _same(found: Found) -> Condition:
    return Condition(
        "#token = :after AND #status = :expected",
        {"#token": "token", "#status": "status"},
        {":after": {"S": found.token}, ":expected": {"S": found.status}},
    )


def _free(claim: Claim, now: dt.datetime, *, or_new: bool) -> Condition:
    """The key is free to be claimed, and its record hasn't expired."""
    # In this order: An earlier attempt of this message has failed. An earlier run of this attempt wasn't charged.
    # Another message of this key has failed, unless the key may run only once.
    values: dict[str, Any] = {":now": {"N": str(int(now.timestamp()))}, ":retrying": {"S": RETRYING}}
    free = []
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
        free = [f"(NOT contains(ended_messages, :mark) AND {each})" for each in free]
        values[":mark"] = {"S": claim.mark}
    new = "attribute_not_exists(id) OR " if or_new else ""
    names = {"#status": "status"} | ({} if claim.comes_back else {"#step": "step"})
    return Condition(f"{new}(expiration >= :now AND ({' OR '.join(free)}))", names, values)


def _has_expired(found: Mapping[str, Any], now: dt.datetime) -> bool:
    return not found or int(found.get("expiration", 0)) < int(now.timestamp())
