"""A task that is cancelled while it runs: how it hears of it, and how its run ends."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from celeriac.consume.duplicate import CANCELLED
from celeriac.consume.insist import while_there_is_time
from celeriac.consume.outcome import HandedBack, Skipped, Succeeded
from celeriac.consume.received import Received, Worker, failure
from celeriac.consume.unrun import unrun
from celeriac.declare.task import Task
from celeriac.leases.lease import Lease
from celeriac.leases.store import LeaseLostError
from celeriac.model.message import Message
from celeriac.model.reason import Reason
from celeriac.model.stop import Cancelled, Stop, cancels

TAKEN_OVER = HandedBack("its lease ran out, another worker has taken over")


@contextmanager
def watched(task: Task[..., Any, Any], held: Lease | None, worker: Worker) -> Iterator[Stop | None]:
    """In the block, a task runs that may be cancelled: not one that must not run again, or that has no record."""
    if held is None or task.guarantee != "effectively_once":
        yield None
        return
    held.stop.interrupts = inspect.iscoroutinefunction(task.function)
    with worker.watch.over(held):
        yield held.stop


def as_cancelled(error: BaseException | None, held: Lease | None) -> BaseException | None:
    """The error with which a run ended. Whatever it raised after it was asked to stop, it has stopped."""
    if error is None or isinstance(error, LeaseLostError | Cancelled):
        return error
    is_stopped = cancels(error) or (held is not None and held.stop.asked)
    return Cancelled(*([held.stop.why] if held is not None else [])) if is_stopped else error


def stopped(
    held: Lease | None, error: Cancelled, message: Message, received: Received
) -> Skipped | Succeeded | HandedBack:
    """The outcome of a run that was stopped, or has stopped itself. Raises AWS's errors."""
    if held is None or not held.is_of_its_key:
        return CANCELLED
    text = held.stop.why or ": ".join(filter(None, ["it cancelled itself", str(error)]))
    why = failure(Reason.CANCELLED, error, unrun(message), received)
    # Without a type it isn't taken for a dead letter, see `Failure.is_cancelled`.
    why = replace(why, type="", traceback="", message=text)
    try:
        while_there_is_time(lambda: held.cancelled(why), received.worker)
    except LeaseLostError:
        return Succeeded(message.attempt) if held.is_completed() else TAKEN_OVER
    return CANCELLED
