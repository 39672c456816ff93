"""The queues and tasks that an operator names. An error suggests the right spelling of a mistyped name."""

from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from celeriac import Task
from celeriac.declare import events, registry
from celeriac.model import project, settings
from celeriac.model.queue import Queue
from celeriac.model.stages import LOCAL
from celeriac_console.application.limited import Limited, limits
from celeriac_console.application.loading import load
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.screen import say

# `loc` resembles `local`, and `prd` `prod`; `test` resembles neither.
_RESEMBLES = 0.7


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


def limit(name: str) -> Limited:
    """The limit of this name. Raises UserError if no task names it."""
    load()
    known = limits()
    if name not in known:
        raise UserError(f"no task has a limit named {name!r}.{_nearest(name, list(known))}")
    return known[name]


def warn_of_task(name: str | None) -> None:
    """Warn of a task that a filter names, and that isn't known here. It may have been removed: that is no error."""
    if name is None:
        return
    load()
    if name not in registry.tasks:
        say(f"no task is named {name!r} now.{_nearest(name, list(registry.tasks))}", style="yellow", stderr=True)


def warn_of_row(type_: str) -> None:
    """Warn of a type of outbox rows that no task here has or is subscribed to, and no declared event."""
    known = [f"task:{name}" for name in registry.tasks]
    known += {each.on for each in registry.tasks.values() if each.on is not None}
    known += events.declared_events(list(registry.tasks.values()))
    if not any(fnmatchcase(each, type_) or fnmatchcase(type_, each) for each in known):
        say(f"no task and no event has the type {type_!r}.{_nearest(type_, known)}", style="yellow", stderr=True)


def warn_of_stage(name: str) -> None:
    """Warn of a stage that celeriac.toml doesn't name, and whose name resembles one that it does."""
    named = project.read(Path.cwd()).stages
    if name == LOCAL or any(fnmatchcase(name, pattern) for pattern in named):
        return
    close = get_close_matches(name, [LOCAL, *(each for each in named if "*" not in each)], n=1, cutoff=_RESEMBLES)
    if close:
        say(f"{settings.FILE} names no stage {name}: did you mean {close[0]}?", style="yellow", stderr=True)


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


def limit_names(incomplete: str) -> list[str]:
    """The limits whose names start with `incomplete`, for shell completion. Empty if the tasks can't be loaded."""
    try:
        load()
    except UserError:
        return []
    return sorted(name for name in limits() if name.startswith(incomplete))


def _nearest(name: str, known: list[str]) -> str:
    """A sentence for a user who mistyped `name`: the most similar name, or all known names."""
    close = get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else f" Known names: {', '.join(sorted(known)) or 'none'}."
