"""Which queues the tasks of a queue may send to: `Queue(sends_to=...)`."""

from celeriac.model.errors import CeleriacError
from celeriac.model.queue import Queue


class LeavesQueueError(CeleriacError, ValueError):
    """A task, or what is to follow it, is on a queue that the sender's queue may not send to. Nothing was sent."""


def check(queue: Queue | None, to: Queue, what: str) -> None:
    """Raise LeavesQueueError if the tasks of a queue may not send to another one. None is no queue, and may."""
    if queue is not None and not queue.may_send_to(to):
        allowed = ", ".join(queue.names_sent_to) or "itself"
        raise LeavesQueueError(
            f"{what} on the queue {to.name!r}, and tasks of the queue {queue.name!r} may send to {allowed}: add "
            f"{to.name!r} to the sends_to of {queue.name!r}"
        )
