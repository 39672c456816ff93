"""`celeriac forget`: delete the record of a used idempotency key."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from celeriac import Task
from celeriac.leases import lease
from celeriac.leases.status import Status
from celeriac_console.application import by_name
from celeriac_console.lookup.description import described
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


def task_with_records(name: str) -> Task[..., Any, Any]:
    """The task of this name. Raises UserError if no record of its keys is kept."""
    found = by_name.task(name)
    if found.guarantee == "at_least_once":
        raise UserError(f"{name} is at_least_once: no record of its keys is kept, so every message runs")
    return found


def show_status(task: Task[..., Any, Any], full: str, seen: Mapping[str, Any]) -> Status | None:
    """Print the status that a key's record holds, and return it. Raises UserError if the task is running."""
    handle = task.handle_of("", full)
    status = handle.status() if seen else None
    if status is None or status.state == "unknown":
        return None
    say(described(handle, status)[0], stderr=True)
    if status.state == "running":
        raise UserError(f"{task.name} {full.removeprefix(f'{task.name}:')} runs now: wait until it has ended")
    return status


def delete_record(task: Task[..., Any, Any], full: str, seen: Mapping[str, Any]) -> None:
    """Delete the record that was read as `seen`. Raises UserError if it has changed since then."""
    if not lease.forget(task.name, full, task.queue.record_retention, seen):
        raise UserError("it has changed meanwhile, nothing was forgotten: look at it again with celeriac status")
