"""Every task and table that this process knows."""

import importlib
import pkgutil
from collections import defaultdict
from fnmatch import fnmatchcase
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from celeriac.queue import Queue
from celeriac.table import Table

if TYPE_CHECKING:
    from celeriac.task import Task

tasks: "dict[str, Task[..., Any, Any]]" = {}
"""By name. The task defined last wins, so that a module can be reloaded; `load` refuses two of one name."""

_homes: dict[str, set[str]] = defaultdict(set)


class DuplicateName(ValueError):  # noqa: N818 - it is what was found
    """Two tasks, queues or tables share a name; a message couldn't tell them apart."""


def add(task: "Task[..., Any, Any]") -> None:
    """Make `task` known under its name."""
    tasks[task.name] = task
    _homes[task.name].add(f"{task.function.__module__}.{task.function.__qualname__}")


def forget_local() -> None:
    """Forget the tasks that were defined inside functions: those of tests, which end with them."""
    for name in [name for name, task in tasks.items() if "<locals>" in task.function.__qualname__]:
        del tasks[name], _homes[name]


def subscribers(event: str) -> "list[Task[..., Any, Any]]":
    """The tasks subscribed to `event`, by its exact name or a pattern such as `order.*`, sorted by name."""
    found = [task for task in tasks.values() if task.on is not None and fnmatchcase(event, task.on)]
    return sorted(found, key=lambda task: task.name)


def load(package: str = "tasks") -> None:
    """Import every module of `package`. Raises DuplicateName if two of its tasks share a name."""
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        importlib.import_module(module.name)
    for name, homes in _homes.items():
        ours = sorted(home for home in homes if home.startswith(f"{package}."))
        if len(ours) > 1:
            raise DuplicateName(f"two tasks are named {name!r}: {' and '.join(ours)}. Rename one, or give it `name=`")


def declared[T: Queue | Table](module: ModuleType, kind: type[T]) -> dict[str, T]:
    """The queues or tables that `module` declares, by name. Raises DuplicateName."""
    found: dict[str, tuple[str, T]] = {}
    for variable, value in vars(module).items():
        if isinstance(value, kind):
            other = found.setdefault(value.name, (variable, value))
            if other[1] is not value:
                raise DuplicateName(f"{module.__name__}: {other[0]} and {variable} are both named {value.name!r}")
    return {name: value for name, (_, value) in found.items()}


def queues() -> dict[str, Queue]:
    """The queues of `tasks/queues.py`, and those of tasks defined elsewhere."""
    return {task.queue.name: task.queue for task in tasks.values()} | declared(_module("tasks.queues"), Queue)


@cache
def tables() -> dict[str, Table]:
    """The tables of `tasks/tables.py`, by logical name."""
    return declared(_module("tasks.tables"), Table)


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {name, name.partition(".")[0]}:
            raise
        return ModuleType(name)  # a project without tables, or a library's own tests
