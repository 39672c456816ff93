"""The end of a `Unique` message: it frees its item, so that the next one may run.

The item is freed after the record is written, and before the message is acknowledged. If AWS refuses it, SQS delivers
the message again. The copy finds that the task is over, and frees the item.
"""

from datetime import UTC, datetime, timedelta

from celeriac.consume.insist import while_there_is_time
from celeriac.consume.received import Received, Worker
from celeriac.flow import unique
from celeriac.flow.unique import Mine
from celeriac.leases import lease
from celeriac.leases.lease import Lease
from celeriac.model.failure import error_type
from celeriac.model.reason import Reason
from celeriac.observe.log import logger


def free(received: Received) -> None:
    """Free the item of a message that has ended. Raises AWS's errors: the message then isn't acknowledged."""
    if received.unique is not None:
        _free(received.unique, received.worker)
        received.unique = None


def before_letter(mine: Mine, held: Lease | None, reason: str, received: Received) -> None:
    """Free the item of a message that has no record and becomes a dead letter, before the letter is sent: afterwards,
    another delivery would send another letter. With a record, note which life of the message ends.

    Raises AWS's errors, but not for a letter that is sent because AWS refuses something.
    """
    if held is not None:
        if held.is_of_its_key:
            mine.ended = held.redriven  # the letter may be redriven before the item is free
    elif reason == Reason.UNSETTLED:
        free_if_possible(received)
    else:
        if not _free(mine, received.worker):
            # Its producer may not have taken the item yet, and no record would tell that the message is dead.
            unique.refuse_late(mine, None)
        received.unique = None


def free_if_possible(received: Received) -> None:
    """Free the item of a message that must not come again. If AWS refuses it, its time ends it."""
    if received.unique is None:
        return
    try:
        unique.free(received.unique)
    except Exception as error:  # noqa: BLE001 - see above
        logger.warning("item of a unique task not freed", extra={"error": error_type(error)})
    received.unique = None


def extend(received: Received, delay: timedelta) -> None:
    """Let a message hold its item until its next attempt, and as long as SQS keeps that.

    If AWS refuses it, the message goes on: it waits if another one holds the item when it comes.
    """
    if received.unique is None or received.unique.until != "finished":
        return
    try:
        unique.extend(received.unique, datetime.now(UTC) + delay + received.queue.retention)
    except Exception as error:  # noqa: BLE001 - see above
        logger.warning("item of a unique task not extended", extra={"error": error_type(error)})


def note_used(received: Received, used: lease.AlreadyUsed, message_id: str) -> None:
    """Note what the record tells a copy: it frees the item if the task is over, not if another attempt is to run."""
    mine = received.unique
    if mine is None:
        return
    if isinstance(used, lease.AlreadyTried):
        # What it holds belongs to the attempt that is to run. What it has taken, it puts back: that one may be over.
        received.unique = mine if mine.has_taken else None
    elif isinstance(used, lease.AlreadyCancelled):
        mine.ended = mine.redriven
    elif isinstance(used, lease.AlreadyDead):
        is_own = used.record.get("task_id") == message_id and "status" in used.record
        mine.ended = used.record.get("redriven", "") if is_own else mine.redriven


def _free(mine: Mine, worker: Worker) -> bool:
    """Free the item. Returns whether the message held it."""
    if mine.has_record:
        return unique.free(mine)
    # Without a record the task would run again, only to free its item.
    was_held: list[bool] = []
    while_there_is_time(lambda: was_held.append(unique.free(mine)), worker)
    return was_held[-1]
