"""Cancels the one task that a page shows."""

from typing import Any

from celeriac import InvalidReferenceError, handle
from celeriac.declare import registry
from celeriac.declare.handle import Handle
from celeriac.leases.status import Status
from celeriac_console.delayed.cancel import Outcome, cancel
from celeriac_console.delayed.waiting import find
from celeriac_console.terminal.errors import UserError
from celeriac_console.web.activity.noted import noted
from celeriac_console.web.screen import Asked, Done
from celeriac_console.web.shown import address

UNFINISHED = frozenset({"queued", "running", "retrying"})


def reference(made: Handle[Any], status: Status) -> str:
    """The word by which the page cancels a task; empty if it can't be cancelled."""
    message_id = made.id or status.id
    may = made.guarantee != "at_least_once" and status.state in UNFINISHED and status.cancellation is None
    return registry.tasks[made.task].handle_of(message_id, made.key).ref if may and message_id else ""


def cancel_one(asked: Asked) -> Done:
    """Cancel a task. Its form names the schedule in which it waits, or its reference."""
    name, its, back = (asked.form.get(each, "") for each in ("name", "its", "ref"))
    told = _in_schedule(asked, name) if name or not its else _anywhere(asked, its)
    return Done(told, address("/status", ref=back))


def _in_schedule(asked: Asked, name: str) -> str:
    one = find(name) if name else None
    if one is None:
        raise UserError("it waits in no schedule any more: it was sent, or cancelled. Look at its state again")
    with noted(asked.operator, "delayed cancel", {"task": one.task, "id": one.id}) as outcome:
        became = cancel(one)
        outcome.count, outcome.said = int(became is Outcome.CANCELLED), became.value
    return {
        Outcome.CANCELLED: "It is cancelled, and doesn't run.",
        Outcome.ENDED: "It had run before. Its schedule is deleted.",
        Outcome.RUNNING: "It runs now, or its worker has died: it isn't cancelled.",
        Outcome.SENT: "It may have been sent before it was cancelled.",
    }[became]


def _anywhere(asked: Asked, its: str) -> str:
    try:
        made = handle(its)
    except (InvalidReferenceError, LookupError) as error:
        raise UserError(str(error)) from error
    with noted(asked.operator, "cancel", {"task": made.task, "id": made.id}) as outcome:
        try:
            done = made.cancel(by=asked.operator.name[:500])
        except (TypeError, ValueError) as error:  # an at_least_once task, or too many of its key are cancelled
            raise UserError(str(error)) from error
        state = made.status().state
        outcome.count, outcome.said = int(done), "cancelled" if done else state
    if not done:
        return f"It isn't cancelled: it is {state}."
    return "It runs, and is asked to stop." if state == "running" else "It is cancelled, and doesn't run."
