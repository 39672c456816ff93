"""`celeriac status`: show the state of a task."""

import json
from typing import Annotated, Any

import typer

from celeriac.declare import registry
from celeriac.declare.handle import Handle
from celeriac.leases.status import Status
from celeriac_console.application import by_name
from celeriac_console.application.loading import load
from celeriac_console.lookup.description import described
from celeriac_console.lookup.find import found
from celeriac_console.lookup.watching import watched
from celeriac_console.options import Json
from celeriac_console.terminal.errors import FAILED, UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.screen import say


def status(
    what: Annotated[
        str,
        typer.Argument(
            metavar="REF",
            help="The reference that `celeriac send` printed; or a task's id, SQS's message id, or a key.",
        ),
    ],
    *,
    task: Annotated[str | None, typer.Option("--task", help="Search for this task only.")] = None,
    search: Annotated[
        bool, typer.Option("--search", help="For an id: read all records, not only the first ten megabytes.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show how far it is, until it has ended.")] = False,
    json_: Json = False,
) -> None:
    """Show a task's state: waiting, delayed, paused, running, retrying, succeeded, dead, cancelled or unknown.

    Of a task that waits for a limit it says for which one, and about until when, unless the limit has a `by`.

    Exit code 1 if it is dead, cancelled or unknown.

    Example: celeriac status monthly_report/0198f3c2-7a44/2026-10@1764086400
    """
    load()
    wanted = [by_name.task(task)] if task is not None else [t for _, t in sorted(registry.tasks.items())]
    answers = found(what, wanted, every_record=search)
    if watch:
        if json_:
            raise UserError("--watch is for people, --json for scripts: choose one")
        answers = [(handle, watched(handle, one)) for handle, one in answers]
    if json_:
        typer.echo(json.dumps([_as_json(handle, one) for handle, one in answers]))
    for handle, one in answers if not json_ else []:
        _show(handle, one)
    if not answers and not json_:
        more = (
            ""
            if search
            else f", or its record is beyond the first ten megabytes: {command('status', '--search', what)} reads all"
        )
        say(
            f"unknown: nothing is stored of {what!r}. It may still be waiting in its queue: give the reference that "
            f"celeriac send printed to see that. Or it belongs to an at_least_once task, or was never sent{more}",
            stderr=True,
        )
    if not answers or any(one.state in {"dead", "cancelled", "unknown"} for _, one in answers):
        raise typer.Exit(FAILED)


def _show(handle: Handle[Any], one: Status) -> None:
    for number, line in enumerate(described(handle, one)):
        say(line, style="bold" if number == 0 else None)


def _as_json(handle: Handle[Any], one: Status) -> dict[str, Any]:
    failure = one.failure
    return {
        "task": handle.task,
        "ref": handle.ref,
        "state": one.state,
        "said": described(handle, one)[0],
        "id": one.id,
        "duplicate_of": one.duplicate_of,
        "attempts": one.attempts,
        "deaths": one.deaths,
        "since": one.since.isoformat() if one.since is not None else None,
        "due": one.due.isoformat() if one.due is not None else None,
        "waits_for": one.waits_for,
        "progress": {
            "done": one.progress.done,
            "total": one.progress.total,
            "unit": one.progress.unit,
            "at": one.progress.at.isoformat(),
        }
        if one.progress is not None
        else None,
        "cancelled_by": one.cancellation.by if one.cancellation is not None else None,
        "cancelled_because": one.cancellation.why if one.cancellation is not None else None,
        "result": one.result,
        "result_not_kept": one.not_kept,
        "reason": failure.reason if failure is not None else None,
        "error": ": ".join(filter(None, (failure.type, failure.message))) if failure is not None else None,
    }
