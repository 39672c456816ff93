"""What is stored of a task, looked up for whoever asks for its status."""

from collections.abc import Mapping
from typing import Any

from celeriac.aws import sqs
from celeriac.aws.client import error_code
from celeriac.dead_letters import death_notes, search
from celeriac.leases import lease
from celeriac.leases.status import Status
from celeriac.model.guarantee import Guarantee
from celeriac.model.queue import Queue


def is_denied(error: Exception) -> bool:
    """Whether AWS has refused a call for want of a right: its services say so in words of their own."""
    return "AccessDenied" in error_code(error)


def record(task: str, key: str, queue: Queue, guarantee: Guarantee) -> Mapping[str, Any]:
    """The idempotency record of a task's key; empty where there is none, as for every at_least_once task."""
    if guarantee == "at_least_once":
        return {}
    return lease.look_up(task, key, queue.record_retention)


def dead_letter(task: str, message_id: str, queue: Queue) -> Status | None:
    """That it is a dead letter, by its note or by its queue; None if it is none, as far as can be seen.

    `unknown` where its queue holds more letters than are looked at, which one of them may be.
    """
    noted = death_notes.noted(task, message_id)
    if noted is not None:
        return Status("dead", noted.attempts, failure=noted, id=message_id, since=noted.last_at)
    try:
        letter, every = search.find(queue, message_id)
    except sqs.NoSuchQueueError:
        return None
    except Exception as error:
        if is_denied(error):
            return None
        raise
    if letter is None:
        return None if every else Status("unknown")
    attempts = letter.failure.attempts if letter.failure is not None else 0
    since = letter.failure.last_at if letter.failure is not None else None
    return Status("dead", attempts, failure=letter.failure, id=message_id, since=since)
