"""Cancels the task of a handle."""

import getpass
import os
from datetime import UTC, datetime

from celeriac.leases.cancelling import cancel as write
from celeriac.leases.tombstones import Cancellation
from celeriac.model.guarantee import Guarantee
from celeriac.model.queue import Queue

MOST_TEXT = 500
"""Characters. Each write of a record that remembers them costs by its size."""


def cancel(task: str, message_id: str, key: str, queue: Queue, guarantee: Guarantee, *, why: str, by: str) -> bool:
    """Cancel a message of a task, see `Handle.cancel`. Returns whether it doesn't run any more, or is asked to stop.

    by: who says so; empty for the user or the function that calls this.
    """
    if not message_id:
        raise LookupError(
            f"nothing is stored of task {task!r} with this key, so it isn't known which message to cancel: use the "
            "handle that enqueue() returned, or celeriac.handle(ref)"
        )
    said = Cancellation(message_id, by or whoever(), why, datetime.now(UTC))
    once = guarantee == "at_most_once"
    return write(task, key, said, queue.record_retention, once=once) in {"cancelled", "stopping", "used"}


def check(task: str, guarantee: Guarantee, **texts: str) -> None:
    """Raise TypeError for a task that can't be cancelled or a wrong type, ValueError for a text that is too long."""
    if guarantee == "at_least_once":
        raise TypeError(
            f"task {task!r} is at_least_once: no record of it is kept, so nothing can keep it from running. "
            'Declare delivery="effectively_once", or let the task itself ask whether it is still wanted'
        )
    for name, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"cancel(): {name} is {text!r}, write a text")
        if len(text) > MOST_TEXT:
            raise ValueError(f"cancel(): {name} has {len(text)} characters, and {MOST_TEXT} at most are kept")


def whoever() -> str:
    """Who calls this: the name of the Lambda function, or of the user."""
    if function := os.environ.get("AWS_LAMBDA_FUNCTION_NAME"):
        return function
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without users
        return "somebody"
