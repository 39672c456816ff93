"""A key that was used before: by an older release under another text, or by a message with other arguments."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from celeriac.consume.holding import note_used
from celeriac.consume.outcome import Dead, HandedBack, Outcome, Skipped
from celeriac.consume.received import Received, failure
from celeriac.consume.report import log_mismatch
from celeriac.consume.unrun import unrun
from celeriac.declare import lookup
from celeriac.declare.key import Key
from celeriac.declare.task import Task
from celeriac.leases import argument_hashes, lease, result
from celeriac.leases.claim import Claim
from celeriac.model.errors import CeleriacError
from celeriac.model.message import Message
from celeriac.model.reason import Reason
from celeriac.observe.running import RunInfo

CANCELLED = Skipped("cancelled")


class KeyMismatchError(CeleriacError):
    """A message's key was used before, with other arguments."""


class KeyDeadError(CeleriacError):
    """Another message of an at_most_once task's key is a dead letter, so this one doesn't run."""


def key_in_use(key: Key, task: Task[..., Any, Any], message: Message) -> Key:
    """The key under which a message is to be claimed.

    Keys of dicts, sets and whole floats had other texts once. If a record has such a text, the message goes on with it:
    else what an older release has done, or has begun, would be done again. Only such keys cost this read.
    """
    if key.former is None:
        return key
    record = lookup.record(task.name, key.former, task.queue, task.guarantee)
    if int(record.get("expiration", 0)) < datetime.now(UTC).timestamp():
        return key
    if key.is_of_message and record.get("task_id") != message.id:
        return key  # an empty list was a key: another message's record isn't about this one
    return replace(key, value=key.former.removeprefix(f"{task.name}:"), former=None)


def dropped(
    task: Task[..., Any, Any], message: Message, used: lease.AlreadyUsed, wanted: Claim, received: Received
) -> Outcome:
    """The outcome of a message whose key was used before."""
    if received.unique is not None:
        note_used(received, used, message.id)
    if received.follows is not None and isinstance(used, lease.AlreadyDone):
        received.follows.is_done, received.follows.kept = True, result.of_record(used.record)
    if isinstance(used, lease.AlreadyCancelled):
        return CANCELLED
    if received.follows is not None and used.record.get("task_id", message.id) != message.id:
        # It isn't a copy: its batch or chain waits for this very message.
        if isinstance(used, lease.AlreadyTried):
            return HandedBack("another message of its key goes first", datetime.now(UTC) + lease.LOOK_AGAIN)
        if isinstance(used, lease.AlreadyDead):
            why = KeyDeadError(f"the message {used.record['task_id']} of its key is a dead letter, and goes first")
            return Dead(message, failure(Reason.KEY_DEAD, why, unrun(message), received))
    had, has, of = argument_hashes.of_record(used.record), wanted.hashes, str(used.record.get("task_id", ""))
    if had is not None and has is not None and has.differ_from(had) and not wanted.of_message:
        received.facts.is_mismatch = True
        run = RunInfo(task.name, message.id, message.attempt, received.worker.request_id)
        log_mismatch(run, received.queue.name, wanted.key, of=of, had=had.sent, has=has.sent)
        if task.on_mismatch == "dead_letter":
            error = KeyMismatchError(f"its key was used by the message {of}, with other arguments")
            return Dead(message, failure(Reason.KEY_MISMATCH, error, unrun(message), received))
    return Skipped("dead_copy" if isinstance(used, lease.AlreadyDead) else "duplicate")
