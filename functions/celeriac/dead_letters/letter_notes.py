"""Notes of dead letters: they tell a task's status when its idempotency record doesn't.

The record doesn't tell it in three cases: some messages end before they are claimed, at_least_once tasks have no such
record, and another message of the same key takes the record over. A note lies in the same table, under the queue and
the message's id: no release may know its task. It is written when its batch is settled. If that fails, only the
dead-letter queue shows that the message is dead.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from celeriac.aws.client import client, error_code
from celeriac.leases import notes
from celeriac.model.failure import Failure, error_type, recorded
from celeriac.model.queue import Queue
from celeriac.observe.log import logger

_KIND = "dead"
_DEAD, _REDRIVEN = "DEAD", "REDRIVEN"


def note(queue: Queue, task: str, message_id: str, failure: Failure) -> None:
    """Write the note of a dead letter that has been sent."""
    expiry = int((datetime.now(UTC) + queue.record_retention).timestamp())
    where = _where(queue, task, message_id)
    item = where.pop("Key") | {
        "status": {"S": _DEAD},
        "task_id": {"S": message_id},
        "failure": {"S": msgspec.json.encode(recorded(task, failure)).decode()},
        "attempt": {"N": str(failure.attempts)},
        "expiration": {"N": str(expiry)},
    }
    _try("put_item", **where, Item=item)


def forget(queue: Queue, task: str, message_id: str) -> None:
    """Mark the note as redriven: from now on the new run tells the task's status."""
    _try(
        "update_item",
        **_where(queue, task, message_id),
        UpdateExpression="SET #status = :redriven",
        ConditionExpression="attribute_exists(id)",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":redriven": {"S": _REDRIVEN}},
    )


def noted(queues: Sequence[Queue], task: str, message_id: str) -> Failure | None:
    """Why the message is a dead letter of one of the queues, by strongly consistent reads; None if no note says so."""
    for queue in queues:
        found = notes.read(_where(queue, task, message_id))
        if found.get("status") == _DEAD:
            return msgspec.json.decode(found["failure"], type=Failure)
    return None


def _where(queue: Queue, task: str, message_id: str) -> Any:
    return notes.in_queue(_KIND, queue.name, f"{task} {message_id}")


def _try(operation: str, **arguments: Any) -> None:
    try:
        getattr(client("dynamodb"), operation)(**arguments)
    except Exception as error:  # noqa: BLE001 - the sent letter says the same; its message must be acknowledged
        if error_code(error) != "ConditionalCheckFailedException":
            logger.warning("dead letter not noted", extra={"error": error_type(error)})
