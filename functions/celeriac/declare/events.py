"""The declared events: every `Event` of the application's modules, and those that its tasks subscribe to."""

import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from celeriac.declare.task import Task
from celeriac.model import declared
from celeriac.model.event import Event


def declared_events(tasks: Iterable[Task[..., Any, Any]]) -> dict[str, Event[...]]:
    """The events that the loaded modules declare or import, and those of `on=`, by name.

    Raises DuplicateNameError for two events of one name.
    """
    found: dict[str, tuple[str, Event[...]]] = {}
    package = declared.package()
    for name, module in sorted(sys.modules.items()):
        if name != package and not name.startswith(f"{package}."):
            continue
        for variable, value in list(vars(module).items()):
            if isinstance(value, Event):
                _add(found, f"{name}.{variable}", value)
    for task in tasks:
        if task.event is not None:
            _add(found, f"on= of {task.name}", task.event)
    return {name: event for name, (_, event) in found.items()}


def is_for(task: Task[..., Any, Any], event: str) -> bool:
    """Whether the task subscribes to the event, by its name or a pattern."""
    return task.on is not None and fnmatchcase(event, task.on)


def _add(found: dict[str, tuple[str, Event[...]]], place: str, event: Event[...]) -> None:
    where, other = found.setdefault(event.name, (place, event))
    if other is not event:
        raise declared.DuplicateNameError(
            f"two events are named {event.name!r}: {where} and {place}. Declare it once, and import it"
        )
