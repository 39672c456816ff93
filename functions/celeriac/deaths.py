"""Dead letters of which no lease knows: what ended before it was claimed, or is never claimed.

A note of each lies in the idempotency table, so that whoever asks for the task's status learns of its end.
"""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from celeriac import names, settings
from celeriac.aws import client, error_code
from celeriac.failure import Failure, error_type
from celeriac.log import logger
from celeriac.queue import Queue

_DEAD, _REDRIVEN = "DEAD", "REDRIVEN"


def note(queue: Queue, task: str, message_id: str, failure: Failure) -> None:
    """Remember a dead letter that has been sent. Where that fails, only the dead-letter queue knows of it."""
    expiry = int((datetime.now(UTC) + queue.record_retention).timestamp())
    item: Any = _key(task, message_id) | {
        "status": {"S": _DEAD},
        "task_id": {"S": message_id},
        "failure": {"S": msgspec.json.encode(failure).decode()},
        "attempt": {"N": str(failure.attempts)},
        "expiration": {"N": str(expiry)},
    }
    _try("put_item", Item=item)


def forget(task: str, message_id: str) -> None:
    """The dead letter was redriven: what becomes of it now is for its new run to say."""
    _try(
        "update_item",
        Key=_key(task, message_id),
        UpdateExpression="SET #status = :redriven",
        ConditionExpression="attribute_exists(id)",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":redriven": {"S": _REDRIVEN}},
    )


def noted(task: str, message_id: str) -> Failure | None:
    """Why the message is a dead letter, by a strongly consistent read; None where none is noted."""
    answer = client("dynamodb").get_item(TableName=_table(), Key=_key(task, message_id), ConsistentRead=True)
    item: Any = answer.get("Item", {})
    if item.get("status", {}).get("S") != _DEAD:
        return None
    return msgspec.json.decode(item["failure"]["S"], type=Failure)


def _try(operation: str, **arguments: Any) -> None:
    try:
        getattr(client("dynamodb"), operation)(TableName=_table(), **arguments)
    except Exception as error:  # noqa: BLE001 - the letter is sent and says the same; its message must be acknowledged
        if error_code(error) != "ConditionalCheckFailedException":
            logger.warning("dead letter not noted", extra={"error": error_type(error)})


def _key(task: str, message_id: str) -> Any:
    """Beside the records of the task's keys, and never one of them: those have a hash alone behind the `#`."""
    return {"id": {"S": f"{task}#dead {sha256(message_id.encode(errors='surrogatepass')).hexdigest()}"}}


def _table() -> str:
    return names.idempotency_table(settings.stage())
