"""The queues and tasks that an operator names. An error suggests the right spelling of a mistyped name."""

from difflib import get_close_matches
from typing import Any

from celeriac import Task
from celeriac.declare import registry
from celeriac.model.queue import Queue
from celeriac_console.application.loading import load
from celeriac_console.terminal.errors import UserError


def queue(name: str) -> Queue:
    """The queue of this name. Raises UserError if there is none."""
    load()
    known = registry.queues()
    if name not in known:
        raise UserError(f"no queue is named {name!r}.{_nearest(name, list(known))}")
    return known[name]


def task(name: str) -> Task[..., Any, Any]:
    """The task of this name. Raises UserError if there is none."""
    load()
    if name not in registry.tasks:
        raise UserError(f"no task is named {name!r}.{_nearest(name, list(registry.tasks))}")
    return registry.tasks[name]


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


def _nearest(name: str, known: list[str]) -> str:
    """A sentence for a user who mistyped `name`: the most similar name, or all known names."""
    close = get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else f" Known names: {', '.join(sorted(known)) or 'none'}."
