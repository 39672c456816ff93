"""`celeriac cancel`: cancel a task, wherever it is."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from celeriac.aws import scheduler, schedules
from celeriac.declare import registry
from celeriac.declare.handle import Handle
from celeriac.leases.status import Status
from celeriac.model import project
from celeriac.model.settings import stage
from celeriac_console.application import by_name
from celeriac_console.application.loading import load
from celeriac_console.delayed.waiting import find
from celeriac_console.lookup.description import described
from celeriac_console.lookup.find import found
from celeriac_console.options import Json, Yes
from celeriac_console.terminal.confirm import confirm
from celeriac_console.terminal.errors import FAILED, UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.screen import say

_ENDED = {"succeeded", "dead", "cancelled", "superseded"}


def cancel_task(
    what: Annotated[
        str,
        typer.Argument(
            metavar="REF",
            help="The reference that `celeriac send` printed; or a task's id, SQS's message id, or a key.",
        ),
    ],
    *,
    why: Annotated[str, typer.Option(help="Why. It is kept in the task's record, with your name.")] = "",
    task: Annotated[str | None, typer.Option("--task", help="Search for this task only.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, and cancel nothing.")] = False,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Cancel a task that waits, is delayed, is retried or runs. It doesn't run any more, and gets no dead letter.

    One that runs is asked to stop: an async task is interrupted within ten seconds, any other one at its next
    checkpoint, or when it looks at ctx.cancelled. Shows the task first, then asks, in a stage that keeps its data,
    such as prod. Exit code 1 if it has ended before, or can't be stopped.

    Example: celeriac cancel monthly_report/0198f3c2-7a44/2026-10@1764086400 --why "wrong month"
    """
    load()
    wanted = [by_name.task(task)] if task is not None else [t for _, t in sorted(registry.tasks.items())]
    answers = found(what, wanted, every_record=False)
    if not answers:
        raise UserError(
            f"nothing is stored of {what!r}. If it still waits in its queue, give the reference that celeriac send or "
            "enqueue() returned, or <task>/<id>"
        )
    asks = not yes and project.read(Path.cwd()).stage(stage()).keeps
    if dry_run or asks:
        for handle, status in answers:
            say(described(handle, status)[0], stderr=json_ or not dry_run)
    if dry_run:
        if json_:
            typer.echo(json.dumps([_as_json(handle, status, cancelled=False) for handle, status in answers]))
        return
    if asks:
        confirm(f"Cancel it, in the stage {stage()}?", otherwise="add --yes to cancel without being asked")
    told = [_cancelled(handle, status, why) for handle, status in answers]
    if json_:
        typer.echo(json.dumps([_as_json(handle, status, cancelled=done) for handle, status, done in told]))
    else:
        for handle, status, done in told:
            _tell(handle, status, cancelled=done)
    if not all(done for *_, done in told):
        raise typer.Exit(FAILED)


def _cancelled(handle: Handle[Any], status: Status, why: str) -> tuple[Handle[Any], Status, bool]:
    """Cancel a task. Returns its handle and status, and whether it is cancelled, or asked to stop."""
    if not handle.id and status.id:
        handle = registry.tasks[handle.task].handle_of(status.id, handle.key)
    try:
        done = handle.cancel(why)
    except (TypeError, ValueError, LookupError) as error:
        raise UserError(str(error)) from error
    if done and status.due is not None and status.due > datetime.now(UTC):
        # It would be sent in vain. A schedule that is left does no harm.
        name = scheduler.first_name(handle.queue.physical_name(stage()), handle.task, handle.id)
        waiting = find(name)
        if waiting is not None and waiting.id == handle.id:
            schedules.delete(name)
    return handle, handle.status(), done


def _tell(handle: Handle[Any], status: Status, *, cancelled: bool) -> None:
    if cancelled and status.state == "running":
        say(f"{handle.task}: it runs, and is asked to stop. See whether it has: {command('status', handle.ref)}")
    elif cancelled:
        say(f"{handle.task}: cancelled")
    else:
        state = described(handle, status)[0]
        say(f"not cancelled, {state}" + ("" if status.state in _ENDED else ", and can't be stopped"), stderr=True)


def _as_json(handle: Handle[Any], status: Status, *, cancelled: bool) -> dict[str, Any]:
    return {
        "task": handle.task,
        "id": handle.id or status.id,
        "ref": handle.ref,
        "cancelled": cancelled,
        "state": status.state,
    }
