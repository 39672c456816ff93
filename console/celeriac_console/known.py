"""The queues, tasks and times that an operator types. A mistyped name gets a suggestion."""

from datetime import UTC, datetime
from typing import Any

from celeriac import Task
from celeriac.declare import registry
from celeriac.model.queue import Queue
from celeriac_console.loading import why_not
from celeriac_console.terminal.duration import duration
from celeriac_console.terminal.errors import UserError, nearest


def load() -> None:
    """Import every task. Raises UserError, with file and line, if a module of the user fails."""
    try:
        registry.load()
    except (Exception, SystemExit) as error:  # a module may raise anything when it is imported
        raise UserError(why_not(error)) from error


def queue(name: str) -> Queue:
    """The queue of this name. Raises UserError if there is none."""
    load()
    known = registry.queues()
    if name not in known:
        raise UserError(f"no queue is named {name!r}.{nearest(name, list(known))}")
    return known[name]


def task(name: str) -> Task[..., Any, Any]:
    """The task of this name. Raises UserError if there is none."""
    load()
    if name not in registry.tasks:
        raise UserError(f"no task is named {name!r}.{nearest(name, list(registry.tasks))}")
    return registry.tasks[name]


def instant(text: str) -> datetime:
    """Parse an ISO 8601 time such as `2026-11-22T03:00`, or a time ago such as `2h`. UTC unless a time zone is given.

    Raises UserError for another text.
    """
    try:
        return datetime.now(UTC) - duration(text)
    except UserError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{text!r} is no time: write e.g. 2h for two hours ago, or 2026-11-22T03:00") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def queue_names(incomplete: str) -> list[str]:
    """The queues whose names start with `incomplete`, for shell completion. Empty if the tasks can't be loaded."""
    try:
        load()
    except UserError:
        return []
    return sorted(name for name in registry.queues() if name.startswith(incomplete))


def task_names(incomplete: str) -> list[str]:
    """The tasks whose names start with `incomplete`, for shell completion. Empty if the tasks can't be loaded."""
    try:
        load()
    except UserError:
        return []
    return sorted(name for name in registry.tasks if name.startswith(incomplete))
