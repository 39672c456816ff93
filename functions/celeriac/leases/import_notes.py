"""Notes of imported dead letters.

The operator's command writes the note. The message alone isn't trusted, because any sender can write such a message.
"""

from datetime import UTC, datetime

from celeriac.aws.client import client
from celeriac.leases import notes
from celeriac.model.queue import Queue

_KIND = "imported"


def note(queue: Queue, task: str, message_id: str, mark: str) -> None:
    """Note that the import `mark` puts back a dead letter of this message. Only the latest import counts."""
    expiry = int((datetime.now(UTC) + queue.record_retention).timestamp())
    client("dynamodb").update_item(
        **notes.where(_KIND, task, message_id),
        UpdateExpression="SET mark = :mark, expiration = :expiration",
        ExpressionAttributeValues={":mark": {"S": mark}, ":expiration": {"N": str(expiry)}},
    )


def latest(task: str, message_id: str) -> str:
    """The mark of the latest import of this message, by a strongly consistent read; empty if there is none."""
    return str(notes.read(notes.where(_KIND, task, message_id)).get("mark", ""))
