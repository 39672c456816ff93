"""Every task and table that this process knows."""

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from celeriac.declaration import DeclarationError
from celeriac.queue import Queue
from celeriac.signature import SignatureError
from celeriac.table import Outbox, Table

if TYPE_CHECKING:
    from celeriac.task import Task

tasks: "dict[str, Task[..., Any, Any]]" = {}
"""By name. The task defined last wins, so that a module can be reloaded; `load` refuses two of one name."""

_by_home: "dict[str, Task[..., Any, Any]]" = {}


class DuplicateName(DeclarationError):  # noqa: N818 - it is what was found
    """Two tasks, queues or tables share a name; a message couldn't tell them apart."""


def add(task: "Task[..., Any, Any]") -> None:
    """Make `task` known under its name."""
    tasks[task.name] = task
    _by_home[f"{task.function.__module__}.{task.function.__qualname__}"] = task


@contextmanager
def only(wanted: "Callable[[Task[..., Any, Any]], bool]") -> Iterator[None]:
    """Know only the `wanted` tasks, and those defined meanwhile; what functions define is forgotten afterwards."""
    _show(task for task in _by_home.values() if wanted(task))
    try:
        yield
    finally:
        for home in [home for home in _by_home if "<locals>" in home]:
            del _by_home[home]
        _show(_by_home.values())


def _show(known: "Iterable[Task[..., Any, Any]]") -> None:
    tasks.clear()
    tasks.update((task.name, task) for task in known)


def subscribers(event: str) -> "list[Task[..., Any, Any]]":
    """The tasks subscribed to `event`, by its exact name or a pattern such as `order.*`, sorted by name."""
    found = [task for task in tasks.values() if task.on is not None and fnmatchcase(event, task.on)]
    return sorted(found, key=lambda task: task.name)


def load(package: str = "tasks") -> None:
    """Import every module of `package`. Raises DuplicateName if two of its tasks share a name."""
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        importlib.import_module(module.name)
    for task in list(tasks.values()):
        try:
            _ = task.signature
        except NameError as error:
            raise SignatureError(
                f"task {task.name!r}: {error}, at least not at run time: import what its parameters name, "
                "not under TYPE_CHECKING"
            ) from error
    homes: dict[str, list[str]] = defaultdict(list)
    for home, task in _by_home.items():
        if home.startswith(f"{package}."):
            homes[task.name].append(home)
    for name, twins in homes.items():
        if len(twins) > 1:
            raise DuplicateName(
                f"two tasks are named {name!r}: {' and '.join(sorted(twins))}. Rename one, or give it `name=`"
            )


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


def outbox() -> Outbox:
    """The outbox's settings in `tasks/tables.py`, or the default ones. Raises DuplicateName for two of them."""
    found = [value for value in vars(_module("tasks.tables")).values() if isinstance(value, Outbox)]
    if len(found) > 1:
        raise DuplicateName("tasks/tables.py declares two outboxes: a stage has one")
    return found[0] if found else Outbox()


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {name, name.partition(".")[0]}:
            raise
        return ModuleType(name)  # a project without tables, or a library's own tests
