"""Cancels a message that waits for its run: its record says dead, so no copy of it runs, wherever the copy is."""

import os
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from celeriac.aws.client import client
from celeriac.aws.items import plain
from celeriac.leases.states import COMPLETED, DEAD, INPROGRESS, RETRYING
from celeriac.leases.status import milliseconds
from celeriac.leases.store import store
from celeriac.model import names, settings
from celeriac.model.failure import Failure
from celeriac.model.message import Message
from celeriac.model.queue import Queue
from celeriac.model.reason import Reason

type Cancelled = Literal["dead", "succeeded", "running", "of another"]
"""What the record says now: that the message is dead, that the key has succeeded, that the message runs or its worker
has died, or what becomes of another message of the key. Only `dead` and `succeeded` keep copies from running."""


def cancel(message: Message, key: str, queue: Queue, due: datetime, *, key_from: str = "") -> Cancelled:
    """Record that the message is dead, unless its key has succeeded, runs, or belongs to another message.

    key: the whole key, `<task>:<value>`. due: when the message would have been sent. The record lives as long from then
    on as any other, so that the message doesn't run if its schedule isn't deleted.
    """
    now, token = datetime.now(UTC), os.urandom(12).hex()
    table = names.idempotency_table(settings.stage())
    failure = Failure(
        Reason.CANCELLED,
        message="an operator cancelled it while it waited in a schedule",
        attempts=message.attempt - 1,
        first_at=message.enqueued_at,
        last_at=now,
    )
    item: dict[str, Any] = {
        "id": {"S": store(message.task, table, queue.record_retention).record_id(key)},
        "status": {"S": DEAD},
        "expiration": {"N": str(int((max(now, due) + queue.record_retention).timestamp()))},
        "token": {"S": token},
        "task_id": {"S": message.id},
        "attempt": {"N": str(message.attempt - 1)},
        "step": {"N": str(message.step)},
        "key_from": {"S": key_from},
        "failure": {"S": msgspec.json.encode(failure).decode()},
    }
    # In this order: the key is new. Its record has expired. The message has failed, and its next attempt waits. It runs
    # in a later attempt than the record says: the attempt before has ended, and that could not be written.
    condition = (
        "attribute_not_exists(id) OR expiration < :now OR (task_id = :me AND (#status = :retrying OR "
        "(#status = :inprogress AND in_progress_expiration < :instant AND attempt < :attempt)))"
    )
    dynamodb = client("dynamodb")
    try:
        dynamodb.put_item(
            TableName=table,
            Item=item,
            ConditionExpression=condition,
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={
                ":now": {"N": str(int(now.timestamp()))},
                ":instant": {"N": milliseconds(now)},
                ":me": {"S": message.id},
                ":attempt": {"N": str(message.attempt)},
                ":retrying": {"S": RETRYING},
                ":inprogress": {"S": INPROGRESS},
            },
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        return _said(plain(error.response.get("Item")) or {}, message.id, token)
    return "dead"


def _said(found: dict[str, Any], message_id: str, token: str) -> Cancelled:
    if found.get("token") == token:
        return "dead"  # AWS carried out an earlier try of this call, and its answer was lost
    if found.get("status") == COMPLETED:
        return "succeeded"
    if found.get("task_id") != message_id:
        return "of another"
    return "dead" if found.get("status") == DEAD else "running"
