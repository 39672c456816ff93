"""Which import put a dead letter back: noted by an operator, since anybody may write a message that says so."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from celeriac import names, settings
from celeriac.aws import client
from celeriac.queue import Queue


def note(queue: Queue, task: str, message_id: str, mark: str) -> None:
    """Note that the import `mark` puts back a letter of this message. Only the latest import of it counts."""
    expiry = int((datetime.now(UTC) + queue.record_retention).timestamp())
    client("dynamodb").update_item(
        TableName=_table(),
        Key=_key(task, message_id),
        UpdateExpression="SET mark = :mark, expiration = :expiration",
        ExpressionAttributeValues={":mark": {"S": mark}, ":expiration": {"N": str(expiry)}},
    )


def latest(task: str, message_id: str) -> str:
    """The mark of the latest import of this message, by a strongly consistent read; empty where none is noted."""
    answer = client("dynamodb").get_item(TableName=_table(), Key=_key(task, message_id), ConsistentRead=True)
    item: Any = answer.get("Item", {})
    return str(item.get("mark", {}).get("S", ""))


def _key(task: str, message_id: str) -> Any:
    """Beside the records of the task's keys, and never one of them: those have a hash alone behind the `#`."""
    return {"id": {"S": f"{task}#imported {sha256(message_id.encode(errors='surrogatepass')).hexdigest()}"}}


def _table() -> str:
    return names.idempotency_table(settings.stage())
