"""The states of a record. The first two are Powertools' words."""

from collections.abc import Mapping
from typing import Any

INPROGRESS = "INPROGRESS"
"""A worker runs the task, or died during the run."""
COMPLETED = "COMPLETED"
"""The task has succeeded. The record holds its result."""
RETRYING = "RETRYING"
"""An attempt has failed, and the message of the next one exists. The key is free to be claimed."""
DEAD = "DEAD"
"""The message is a dead letter: only a redrive may claim it."""


EXPIRED = "expired"
"""The attribute of a DEAD record whose message has expired. Claims may leave it, and count attempts from 1."""


BEGUN = "begun"
"""The attribute that names the last message of which a run has ended: its task has been started."""


def has_expired(record: Mapping[str, Any]) -> bool:
    """Whether a record is of a message that has expired before any run: others of its key may run, in every case."""
    return EXPIRED in record and record.get("status") == DEAD and int(record.get("attempt", 0)) == 0


def has_begun(record: Mapping[str, Any], message_id: str) -> bool:
    """Whether a record is of this message, and a worker may have begun to run it.

    A claim that was given back before the task was started leaves a record too: of no attempt.
    """
    if record.get("task_id") != message_id:
        return False
    return record.get(BEGUN) == message_id or not (
        record.get("status") == RETRYING and int(record.get("attempt", 1)) == 0
    )
