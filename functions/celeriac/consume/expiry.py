"""Messages that expire: what hasn't started in time never starts, and is no dead letter.

Asked first of all, of a message's first run only. A retry has `give_up_after`, and a redriven letter is to run because
a person wants it to.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from celeriac.consume.outcome import Skipped
from celeriac.consume.received import Received, failure
from celeriac.consume.unrun import unrun
from celeriac.dead_letters import letter_notes
from celeriac.declare.key import Key
from celeriac.declare.task import Task
from celeriac.leases.claim import MESSAGE
from celeriac.leases.expiring import expire
from celeriac.model.message import Message
from celeriac.model.reason import Reason

EXPIRED = Skipped("expired")


def time_of(task: Task[..., Any, Any], message: Message) -> datetime | None:
    """When a message expires, by its own word, or else by its task's; None if it doesn't, or isn't to run first.

    `message` is the message as it came.
    """
    if message.turn != "1" or message.failure is not None:
        return None
    if message.expires_at is not None or task.expires is None or message.enqueued_at is None:
        return message.expires_at
    try:
        return message.enqueued_at + task.expires
    except OverflowError:
        return None


def is_past(expires_at: datetime | None, *, after: timedelta = timedelta()) -> bool:
    """Whether a message has expired, or will have after a time that it is yet to wait."""
    return expires_at is not None and expires_at <= datetime.now(UTC) + after


def expired(  # noqa: PLR0917 - what its callers know
    task: Task[..., Any, Any],
    message: Message,
    expires_at: datetime | None,
    key: Key,
    received: Received,
    after: timedelta = timedelta(),
) -> Skipped | None:
    """Expire a message that would start too late. None if it isn't too late, or may have started before.

    after: how long it is yet to wait. Raises AWS's errors.
    """
    if expires_at is None or not is_past(expires_at, after=after):
        return None
    if task.guarantee == "at_least_once":
        # Nothing is written about its start: one that SQS delivers again may have started, and then it must end well.
        record = received.sqs_record
        return EXPIRED if record.is_first_receive and record.deaths_alone is None else None
    error = TimeoutError(f"it was to start by {expires_at.isoformat(sep=' ', timespec='seconds')}")
    # Without a type it isn't taken for a dead letter, see `Failure.is_cancelled`.
    why = replace(failure(Reason.EXPIRED, error, unrun(message), received), type="", traceback="")
    its = MESSAGE if key.is_chosen else ""
    queue = received.queue
    said = expire(message, key.full, why, queue.record_retention, key_from=its, keeps_history=queue.history)
    if said == "of another":
        # Its record tells nothing of this message. The note does.
        letter_notes.note(queue, task.name, message.id, why)
    return EXPIRED if said != "used" else None
