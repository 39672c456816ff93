"""The limits that tasks name, each once."""

from collections.abc import Iterable
from typing import Any

from celeriac.declare.task import Task
from celeriac.model.limits import Breaker, Limit


def limits_of(tasks: Iterable[Task[..., Any, Any]]) -> list[Limit]:
    """The limits of tasks, by their names."""
    found = {limit.name: limit for task in tasks for limit in task.limits}
    return [found[name] for name in sorted(found)]


def breakers_of(tasks: Iterable[Task[..., Any, Any]]) -> list[Breaker]:
    """The breakers of tasks, by their names."""
    return [limit for limit in limits_of(tasks) if isinstance(limit, Breaker)]
