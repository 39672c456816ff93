"""Forget that a key was used: its record, what it says, and its deletion."""

from collections.abc import Mapping
from typing import Any

from celeriac import Task
from celeriac.leases import lease
from celeriac.leases.status import Status
from celeriac_console.application import by_name
from celeriac_console.terminal.errors import UserError


def task_with_records(name: str) -> Task[..., Any, Any]:
    """The task of this name. Raises UserError if no record of its keys is kept."""
    found = by_name.task(name)
    if found.guarantee == "at_least_once":
        raise UserError(f"{name} is at_least_once: no record of its keys is kept, so every message runs")
    return found


def status_of(task: Task[..., Any, Any], full: str, seen: Mapping[str, Any]) -> Status | None:
    """The status that a key's record holds; None if it holds none."""
    status = task.handle_of("", full).status() if seen else None
    return status if status is not None and status.state != "unknown" else None


def refuse_running(task: Task[..., Any, Any], full: str, status: Status) -> None:
    """Raise UserError if the task is running."""
    if status.state == "running":
        raise UserError(f"{task.name} {full.removeprefix(f'{task.name}:')} runs now: wait until it has ended")


def delete_record(task: Task[..., Any, Any], full: str, seen: Mapping[str, Any]) -> None:
    """Delete the record that was read as `seen`. Raises UserError if it has changed since then."""
    if not lease.forget(task.name, full, task.queue.record_retention, seen):
        raise UserError("it has changed meanwhile, nothing was forgotten: look at it again with celeriac status")
