"""Notes about a message in the idempotency table, beside the records of keys.

A record's id is `<task>#<hash of the key>`, a note's id is `<task>#<kind> <hash of the message id>`. The blank
tells them apart.
"""

from hashlib import sha256
from typing import Any

from celeriac.aws.client import client
from celeriac.aws.items import plain
from celeriac.model import names, settings


def where(kind: str, task: str, message_id: str) -> Any:
    """The table and the key of a note, as arguments of a call."""
    hashed = sha256(message_id.encode(errors="surrogatepass")).hexdigest()
    return {"TableName": names.idempotency_table(settings.stage()), "Key": {"id": {"S": f"{task}#{kind} {hashed}"}}}


def is_note(item_id: str) -> bool:
    """Whether this is the id of a note and not of a record."""
    return " " in item_id.rpartition("#")[2]


def read(kind: str, task: str, message_id: str) -> dict[str, Any]:
    """A note, by a strongly consistent read; empty if there is none."""
    answer = client("dynamodb").get_item(**where(kind, task, message_id), ConsistentRead=True)
    return plain(answer.get("Item", {})) or {}
