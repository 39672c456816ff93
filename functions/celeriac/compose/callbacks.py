"""Sends the callbacks of a batch, and seals it. All of it may be done twice: each id is derived from the batch."""

from datetime import timedelta

from celeriac.compose.stored import derived, parcel_of
from celeriac.declare import registry
from celeriac.enqueue.send import send
from celeriac.flow.batches import items, nodes, root, tree
from celeriac.flow.batches.root import Batch
from celeriac.model.errors import CeleriacError
from celeriac.model.failure import error_type
from celeriac.model.following import OfBatch
from celeriac.observe.log import logger


class UnknownQueueError(CeleriacError, LookupError):
    """The queue of what follows isn't declared in this release."""


def seal(batch: Batch, total: int, late_after: timedelta) -> bool:
    """Note that a batch has all its members, and fire if they have ended already. False if it was entered again.

    Raises AWS's errors if it isn't sealed. If it is, and AWS refuses what follows, the sweeper does that: with an error
    a producer might fill the batch once more.
    """
    sealed = root.seal(batch, total, late_after)
    if sealed is None:
        return False
    try:
        finish(sealed)
    except Exception as error:  # noqa: BLE001 - see above
        logger.warning("batch is sealed, the sweeper goes on", extra={"error": error_type(error)})
    return True


def finish(sealed: Batch) -> None:
    """Do what the sealing of a batch asks for, as often as it is called. Raises AWS's errors."""
    if sealed.total is None or sealed.fired:
        return
    is_over = nodes.close(sealed.member(), sealed.total) == "all done"
    if sealed.dead_seen and not sealed.dead_told:
        _tell(sealed)  # also if the dead member was redriven since, and has succeeded
    if is_over:
        _fire(sealed)


def succeeded(member: OfBatch) -> None:
    """Report that a member has succeeded, and fire if it was the last one. Raises AWS's errors."""
    if member.index is None or nodes.done(member, tree.of_member(member.index)) != "all done":
        return
    batch = root.read(member.id)
    if batch is not None and batch.epoch == member.epoch and batch.is_sealed and not batch.fired:
        _fire(batch)


def died(member: OfBatch, ref: str, queue: str) -> None:
    """Report that a member is a dead letter, was cancelled or has expired, and tell it if it is the first one.

    ref: its reference. queue: where it came from. Raises AWS's errors.
    """
    if member.index is None:
        return
    nodes.name_dead(member, member.index, ref=ref, queue=queue)
    place = tree.of_member(member.index)
    if nodes.dead(member, place) != "first dead":
        return
    batch = root.see_dead(member)
    # One that isn't sealed is told by who seals it. One of an epoch that was aborted (None) is told by nobody.
    if batch is not None and batch.is_sealed and not batch.dead_told:
        _tell(batch)
    nodes.has_told(member, place)


def _fire(batch: Batch) -> None:
    if batch.then:
        _send(batch, "then", batch.then)
    root.has_fired(batch.member())


def _tell(batch: Batch) -> None:
    if batch.dead:
        _send(batch, "dead", batch.dead)
    root.has_told(batch.member())


def _send(batch: Batch, which: str, stored: str) -> None:
    name = items.queue_of(batch.id)
    queue = registry.queues().get(name)
    if queue is None:
        raise UnknownQueueError(f"the queue {name!r} of a batch's callbacks isn't declared in this release")
    send(parcel_of(stored, queue, id=derived(batch.id, batch.epoch, which), batch=batch.member()))
