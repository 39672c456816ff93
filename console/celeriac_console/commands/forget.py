"""`celeriac forget`: delete the record of a used idempotency key."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from celeriac import Task
from celeriac.leases.status import Status
from celeriac_console.lookup.description import described
from celeriac_console.lookup.forget import delete_record, refuse_running, status_of, task_with_records
from celeriac_console.lookup.keys import key_and_record
from celeriac_console.options import TaskName, Yes
from celeriac_console.terminal.confirm import confirm
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.screen import say

Key = Annotated[str, typer.Argument(help="The idempotency key: the value of its key parameter, or an id.")]


def forget(task: TaskName, key: Key, *, yes: Yes = False) -> None:
    """Delete the record of a task's key, so that its next message runs. Asks first. Fails while the task runs.

    Example: celeriac forget monthly_report 2026-10
    """
    found = task_with_records(task)
    full, seen = key_and_record(found, key)
    status = show_status(found, full, seen)
    if status is None:
        raise UserError(f"nothing is stored of {found.name} {key!r}: its next message runs anyway")
    if status.state == "retrying":
        say("The message of its next attempt was sent already and will still run.", stderr=True)
    if not yes:
        confirm("Forget it?", otherwise="add --yes")
    delete_record(found, full, seen)
    say(f"forgotten: the next message of {found.name} {key} runs")


def show_status(task: Task[..., Any, Any], full: str, seen: Mapping[str, Any]) -> Status | None:
    """Print the status that a key's record holds, and return it. Raises UserError if the task is running."""
    status = status_of(task, full, seen)
    if status is not None:
        say(described(task.handle_of("", full), status)[0], stderr=True)
        refuse_running(task, full, status)
    return status
