"""The write of a claim: a new record, or a claim of the one that is there, which keeps what the record remembers.

What a task has saved of its progress, and which messages are cancelled, must outlive the claims of a key. So a claim
replaces a record only if there is none, or an expired one; any other claim is an update. Usually the first of the two
writes is the right one. If it isn't, the record that it met tells whether the other one is.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from celeriac.aws.client import client
from celeriac.leases import crashes, tombstones
from celeriac.leases.claim import Claim, Found, Record
from celeriac.leases.history import RUN_OF
from celeriac.leases.states import COMPLETED, DEAD, INPROGRESS, RETRYING
from celeriac.leases.status import milliseconds

ENDED = ("failure", "retry_at", "unsent", "data", "ended_at", "not_kept", "expired", RUN_OF)
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
        return _changed(table, key, item, claim, _same(after), record_of(after.item))
    now = dt.datetime.now(dt.UTC)
    try:
        if claim.is_first:
            return _new(table, key, item, now)
        return _changed(table, key, item, claim, _free(claim, now, or_new=True))
    except Refused as refused:
        found = refused.found
        if tombstones.forbids(found, claim):
            raise
        if _has_expired(found, now):
            if claim.is_first:
                raise  # another worker was faster
            return _new(table, key, item, now)
        if tombstones.state_is_over(found, now):
            return _changed(table, key, item, claim, _outlived(now), found)
        # A record that was updated first, and could be claimed, was refused for its tombstone's sake.
        if not (claim.is_first or tombstones.is_in_vain(found, _state_until(item))) or not may_pass(claim, found):
            raise
    return _changed(table, key, item, claim, _free(claim, now, or_new=False), found)


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


def _changed(  # noqa: PLR0917 - its callers know them in this order
    table: str,
    key: Any,
    item: Mapping[str, Any],
    claim: Claim,
    condition: Condition,
    found: Mapping[str, Any] | None = None,
) -> Record:
    """Claim the record that is there. `found`: what it was, if that is known."""
    # On a FIFO queue the same message comes back, and its record says how its last run ended.
    gone = ["unsent", RUN_OF] if claim.comes_back else [*ENDED, *({crashes.OTHERS} - item.keys())]
    if found is not None and tombstones.state_is_over(found, dt.datetime.now(dt.UTC)):
        gone = [name for name in found if name not in {"id", *item, *tombstones.ATTRIBUTES}]
    also = _beside_a_tombstone(claim, _state_until(item), found)
    values = {f":new_{name}": value for name, value in item.items()}
    sets = [f"#{name} = :new_{name}" for name in item if name != "expiration"]
    deletes = ""
    if also.is_in_vain:
        sets, gone = [*sets, "#expiration = :new_expiration"], [*gone, *tombstones.ATTRIBUTES]
    else:
        # Another message of the key may be cancelled: its tombstone lives on.
        sets.append(f"#expiration = if_not_exists({tombstones.UNTIL}, :new_expiration)")
        if claim.redriven and not claim.of_message:
            deletes, values[":again"] = f" DELETE {tombstones.CANCELLED} :again", {"SS": [claim.task_id]}
    names = {f"#{name}": name for name in [*item, *gone]}
    remove = f" REMOVE {', '.join(f'#{name}' for name in gone)}" if gone else ""
    return _carried_out(
        client("dynamodb").update_item,
        Condition(
            " AND ".join(filter(None, [condition.expression, also.condition])),
            names | condition.names,
            condition.values | also.values,
        ),
        TableName=table,
        Key=key,
        UpdateExpression=f"SET {', '.join(sets)}{remove}{deletes}",
        ExpressionAttributeValues=values,
    )


class _Beside(NamedTuple):
    """What a claim asks of a record's tombstone."""

    condition: str
    values: dict[str, Any]
    is_in_vain: bool
    """Whether the tombstone is removed."""


def _beside_a_tombstone(claim: Claim, state_until: int, found: Mapping[str, Any] | None) -> _Beside:
    allowed, values = tombstones.allowed(claim)
    asked = [allowed] if allowed else []
    if found is not None and tombstones.is_in_vain(found, state_until):
        values[":seen_until"] = {"N": str(found[tombstones.UNTIL])}
        return _Beside(" AND ".join([*asked, f"{tombstones.UNTIL} = :seen_until"]), values, is_in_vain=True)
    if found is None and not claim.of_message:
        values[":least"] = {"N": str(tombstones.least(state_until))}
        asked.append(f"(attribute_not_exists({tombstones.UNTIL}) OR {tombstones.UNTIL} >= :least)")
    return _Beside(" AND ".join(asked), values, is_in_vain=False)


def _state_until(item: Mapping[str, Any]) -> int:
    return int(item[tombstones.STATE_UNTIL]["N"])


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


def _outlived(now: dt.datetime) -> Condition:
    """The record's state isn't kept any more, and only a tombstone keeps it from expiring."""
    return Condition("state_until < :now", {}, {":now": {"N": str(int(now.timestamp()))}})


def _free(claim: Claim, now: dt.datetime, *, or_new: bool) -> Condition:
    """The key is free to be claimed, and its record hasn't expired."""
    # In this order: An earlier attempt of this message has failed. An earlier run of this attempt wasn't charged.
    # Another message of this key has failed, unless the key may run only once. Nothing is known but that another
    # message is cancelled.
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
    free.append("attribute_not_exists(#status)")
    if claim.comes_back:
        # A message that is dead doesn't run again because another one of its key has replaced its record.
        free = [f"(NOT contains(ended_messages, :mark) AND {each})" for each in free]
        values[":mark"] = {"S": claim.mark}
    names = {"#status": "status"} | ({} if claim.comes_back else {"#step": "step"})
    free_now = f"expiration >= :now AND ({' OR '.join(free)})"
    # DynamoDB takes no parentheses that aren't needed.
    return Condition(f"(attribute_not_exists(id) OR ({free_now}))" if or_new else free_now, names, values)


def _has_expired(found: Mapping[str, Any], now: dt.datetime) -> bool:
    return not found or int(found.get("expiration", 0)) < int(now.timestamp())
