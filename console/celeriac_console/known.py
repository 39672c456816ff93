"""What an operator names: queues, tasks and times, with a helping word for what is mistyped."""

from datetime import UTC, datetime
from typing import Any

from celeriac import Task
from celeriac.declare import registry
from celeriac.model.queue import Queue
from celeriac_console.duration import duration
from celeriac_console.loading import why_not
from celeriac_console.mistakes import UserError, nearest


def load() -> None:
    """Import every task. Raises UserError, naming file and line, for a module of the user's that fails."""
    try:
        registry.load()
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        raise UserError(why_not(error)) from error


def queue(name: str) -> Queue:
    """The queue that is meant. Raises UserError."""
    load()
    known = registry.queues()
    if name not in known:
        raise UserError(f"no queue is named {name!r}.{nearest(name, list(known))}")
    return known[name]


def task(name: str) -> Task[..., Any, Any]:
    """The task that is meant. Raises UserError."""
    load()
    if name not in registry.tasks:
        raise UserError(f"no task is named {name!r}.{nearest(name, list(registry.tasks))}")
    return registry.tasks[name]


def instant(text: str) -> datetime:
    """A time of ISO 8601, in UTC unless it says otherwise, or so long ago: `2026-11-22T03:00`, `2h`.

    Raises UserError.
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
    """The queues that begin so, for a shell to complete: none where the tasks can't be loaded."""
    try:
        load()
    except UserError:
        return []
    return sorted(name for name in registry.queues() if name.startswith(incomplete))


def task_names(incomplete: str) -> list[str]:
    """The tasks that begin so, for a shell to complete: none where the tasks can't be loaded."""
    try:
        load()
    except UserError:
        return []
    return sorted(name for name in registry.tasks if name.startswith(incomplete))
