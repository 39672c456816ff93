"""Notes about a message in the idempotency table, beside the records of keys.

A record's id is `<task>#<hash of the key>`. A note's id is `<task>#<kind> <hash of the message id>`, or begins with
`celeriac#queue#<queue>#` if the note is about a message of any task in a queue. The blank tells notes from records.

A consumer may use only the items whose ids begin with a task of its queue, or with its queue.
"""

from hashlib import sha256
from typing import Any

from celeriac.aws.client import client
from celeriac.aws.items import plain
from celeriac.model import names, settings

OF_QUEUE = "celeriac#queue#"
"""The start of the ids of notes about a queue's messages. No task has a name with a `#`."""


def where(kind: str, task: str, message_id: str) -> Any:
    """The table and the key of a note about a task's message, as arguments of a call."""
    return _item(task, kind, message_id)


def in_queue(kind: str, queue: str, message_id: str) -> Any:
    """The table and the key of a note about a message in a queue, whatever its task is."""
    return _item(OF_QUEUE + queue, kind, message_id)


def _item(owner: str, kind: str, text: str) -> Any:
    hashed = sha256(text.encode(errors="surrogatepass")).hexdigest()
    return {"TableName": names.idempotency_table(settings.stage()), "Key": {"id": {"S": f"{owner}#{kind} {hashed}"}}}


def is_note(item_id: str) -> bool:
    """Whether this is the id of a note and not of a record."""
    return " " in item_id.rpartition("#")[2]


def read(place: Any) -> dict[str, Any]:
    """The note in a place, by a strongly consistent read; empty if there is none."""
    answer = client("dynamodb").get_item(**place, ConsistentRead=True)
    return plain(answer.get("Item", {})) or {}
