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

package = "tasks"
"""Where the application's tasks, queues and tables are declared. `application` names another for a while."""

_packages = {package}


class DuplicateName(DeclarationError):  # noqa: N818 - it is what was found
    """Two tasks, queues or tables share a name; a message couldn't tell them apart."""


def add(task: "Task[..., Any, Any]") -> None:
    """Make `task` known under its name."""
    tasks[task.name] = task
    _by_home[f"{task.function.__module__}.{task.function.__qualname__}"] = task


@contextmanager
def only(wanted: "Callable[[Task[..., Any, Any]], bool]") -> Iterator[None]:
    """Know only the `wanted` tasks, and those defined meanwhile; what functions define is forgotten afterwards.

    Tasks of another application than the one of now are never among them.
    """
    _show(task for task in _by_home.values() if wanted(task) and not _of_another_application(task))
    try:
        yield
    finally:
        for home in [home for home in _by_home if "<locals>" in home]:
            del _by_home[home]
        _show(_by_home.values())


@contextmanager
def application(name: str) -> Iterator[None]:
    """Read tasks, queues and tables from the package `name`, and not from `tasks`, until the block is left.

    The library's own tests do: they must pass whatever `tasks` declares.
    """
    global package  # noqa: PLW0603 - a process runs one application at a time
    before, package = package, name
    _packages.add(name)
    try:
        yield
    finally:
        package = before


def _of_another_application(task: "Task[..., Any, Any]") -> bool:
    home = task.function.__module__
    return any(home.startswith(f"{other}.") for other in _packages - {package})


def _show(known: "Iterable[Task[..., Any, Any]]") -> None:
    tasks.clear()
    tasks.update((task.name, task) for task in known)


def subscribers(event: str) -> "list[Task[..., Any, Any]]":
    """The tasks subscribed to `event`, by its exact name or a pattern such as `order.*`, sorted by name."""
    found = [task for task in tasks.values() if task.on is not None and fnmatchcase(event, task.on)]
    return sorted(found, key=lambda task: task.name)


def load(name: str | None = None) -> None:
    """Import every module of the package `name`, the application's by default.

    Raises DuplicateName if two of its tasks share a name.
    """
    name = name or package
    root = importlib.import_module(name)
    for module in pkgutil.walk_packages(root.__path__, f"{name}."):
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
        if home.startswith(f"{name}."):
            homes[task.name].append(home)
    for twin, twins in homes.items():
        if len(twins) > 1:
            raise DuplicateName(
                f"two tasks are named {twin!r}: {' and '.join(sorted(twins))}. Rename one, or give it `name=`"
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
    found = declared_queues()
    others = {task.queue.name: task.queue for task in tasks.values() if task.queue.name not in found}
    return found | dict(sorted(others.items()))


def declared_queues() -> dict[str, Queue]:
    """The queues of `tasks/queues.py`, by name."""
    return declared(_module(f"{package}.queues"), Queue)


def tables() -> dict[str, Table]:
    """The tables of `tasks/tables.py`, by logical name."""
    return _tables(package)


@cache
def _tables(application: str) -> dict[str, Table]:
    return declared(_module(f"{application}.tables"), Table)


def outbox() -> Outbox:
    """The outbox's settings in `tasks/tables.py`, or the default ones. Raises DuplicateName for two of them."""
    found = [value for value in vars(_module(f"{package}.tables")).values() if isinstance(value, Outbox)]
    if len(found) > 1:
        raise DuplicateName("tasks/tables.py declares two outboxes: a stage has one")
    return found[0] if found else Outbox()


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {name, name.rpartition(".")[0]}:
            raise
        return ModuleType(name)  # a project without tables, or a library's own tests
