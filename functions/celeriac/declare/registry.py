"""Every task that this process knows, and every queue."""

import importlib
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from celeriac.declare.handle import Handle
from celeriac.declare.reference import parse
from celeriac.declare.signature import SignatureError
from celeriac.declare.task import Task
from celeriac.enqueue import subscribers as known_subscribers
from celeriac.enqueue.subscribers import Subscriber
from celeriac.hooks import registered
from celeriac.model import declared, given
from celeriac.model.failure import error_place, error_type
from celeriac.model.queue import Queue

tasks: dict[str, Task[..., Any, Any]] = {}
"""All tasks by name. The task defined last replaces an earlier one, so that a module can be reloaded; `load` refuses
two tasks of one name."""

not_imported: set[str] = set()
"""The application's modules whose import failed in this process. Their tasks are unknown here."""

_by_home: dict[str, Task[..., Any, Any]] = {}
_scopes: dict[str, Mapping[str, Any]] = {}
"""The globals of the module that declares the task at a home."""
_hidden: dict[str, Mapping[str, Any]] = {}
"""The homes of tasks that a later declaration of the same module has replaced, while the module was imported."""


def add(task: Task[..., Any, Any], scope: Mapping[str, Any]) -> None:
    """Register `task` under its name.

    scope: the globals of the module that declares it.
    """
    tasks[task.name] = task
    task.module = str(scope.get("__name__", task.module))
    home = f"{task.module}.{getattr(task.function, '__qualname__', task.name)}"
    if getattr(task.function, "__name__", "") != task.name or task.function.__module__ != task.module:
        home += f" ({task.name})"
    # A module that is imported again, or reloaded in a session, replaces its tasks. While it is imported for the first
    # time, a second task of one name hides the first.
    if _scopes.get(home) is scope and getattr(scope.get("__spec__"), "_initializing", False):
        _hidden[home] = scope
    _by_home[home], _scopes[home] = task, scope


def is_of(task: Task[..., Any, Any], package: str) -> bool:
    """Whether the package declares the task, or holds its function."""
    return any(home == package or home.startswith(f"{package}.") for home in (task.module, task.function.__module__))


@contextmanager
def only(wanted: Callable[[Task[..., Any, Any]], bool]) -> Iterator[None]:
    """In the block, register only the `wanted` tasks, and tasks that are defined in the block.

    Tasks of any application but the current one are left out. After the block, tasks defined inside functions are
    forgotten.
    """
    _show(task for task in _by_home.values() if wanted(task) and not _of_another_application(task))
    try:
        yield
    finally:
        for home in [home for home in _by_home if "<locals>" in home]:
            del _by_home[home]
        _show(_by_home.values())


def _of_another_application(task: Task[..., Any, Any]) -> bool:
    return any(is_of(task, other) for other in declared.packages - {declared.package()})


def _show(known: Iterable[Task[..., Any, Any]]) -> None:
    tasks.clear()
    tasks.update((task.name, task) for task in known)


def subscribers(event: str) -> list[Task[..., Any, Any]]:
    """The tasks subscribed to `event`, by its exact name or a pattern such as `order.*`, sorted by name."""
    found = [task for task in tasks.values() if task.on is not None and fnmatchcase(event, task.on)]
    return sorted(found, key=lambda task: task.name)


# The rows of an event name them: a relay of an older release then knows that they are still to come.
known_subscribers.look_up = lambda event: [Subscriber(task.name, task.queue.fifo) for task in subscribers(event)]


def load_what_works() -> None:
    """Import the application's modules, for a worker: a module that fails concerns its own tasks only.

    Their messages wait, as those of tasks that only a newer release knows. The failure is logged once for each worker.
    What a module gives to `celeriac.configure` has no effect: it is for producers.
    """
    given.leave_to_environment()
    name = declared.package()
    for module in _modules(name, onerror=_leave_out):
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - a user's module may raise anything
            _leave_out(module, error)
    for home, task in list(_by_home.items()):
        try:
            _ = task.signature
        except Exception as error:  # noqa: BLE001 - see above
            _report(task.module, error)
            _forget(home)
    for twins in _twins(name).values():
        _report(_by_home[twins[0]].module, declared.DuplicateNameError(" and ".join(twins)))
        for home in set(twins):
            _forget(home)


def _leave_out(module: str, error: Exception | None = None) -> None:
    """Report a module that can't be imported, and forget its tasks: it may have defined some before it failed."""
    _report(module, error or sys.exc_info()[1] or ImportError())
    for home, task in list(_by_home.items()):
        if task.module == module:
            _forget(home)


def _forget(home: str) -> None:
    tasks.pop(_by_home.pop(home).name, None)


def _report(module: str, error: BaseException) -> None:
    # A producer imports this module, and Powertools' logger takes 60 ms.
    from celeriac.observe.log import logger  # noqa: PLC0415

    not_imported.add(module)
    logger.critical(
        "a module of tasks can't be used, messages of its tasks wait",
        extra={"module_name": module, "error": error_type(error), "where": error_place(error)},
    )


def _modules(name: str, *, onerror: Callable[[str], None] | None = None) -> Iterator[str]:
    root = importlib.import_module(name)
    return (module.name for module in pkgutil.walk_packages(root.__path__, f"{name}.", onerror))


def _twins(name: str) -> dict[str, list[str]]:
    """The names that several tasks of the package share, with the places where these tasks are defined."""
    homes: dict[str, list[str]] = defaultdict(list)
    for home, task in _by_home.items():
        if is_of(task, name):
            homes[task.name] += [home] * (2 if home in _hidden and _hidden[home] is _scopes.get(home) else 1)
    return {twin: sorted(twins) for twin, twins in homes.items() if len(twins) > 1}


def load(name: str | None = None) -> None:
    """Import every module of the package `name`, by default the application's package.

    Raises NoTasksError if Python doesn't find the package, what a module raises, DuplicateNameError if two of its tasks
    share a name, SignatureError if a type in a task's signature isn't defined at run time, and HooksError if `hooks.py`
    lists what is no hook.
    """
    name = name or declared.package()
    try:
        for module in _modules(name):
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise declared.NoTasksError(name) from error
        package = (error.name or "").partition(".")[0]
        if package and package != name.partition(".")[0]:
            error.msg += f" (a package is added by: uv add {package})"
        raise
    for task in list(tasks.values()):
        try:
            _ = task.signature
        except NameError as error:
            raise SignatureError(
                f"task {task.name!r}: {error}, at least not at run time: import the types of its parameters, "
                "not under TYPE_CHECKING"
            ) from error
    for twin, twins in _twins(name).items():
        places = [home.partition(" ")[0] for home in twins]
        where = " and ".join(places) if len(set(twins)) > 1 else f"{places[0]}, twice"
        raise declared.DuplicateNameError(f"two tasks are named {twin!r}: {where}. Rename one, or give it `name=`")
    registered.check()


def queues() -> dict[str, Queue]:
    """The queues of `tasks/queues.py`, and those of tasks defined elsewhere."""
    found = declared.queues()
    others = {queue.name: queue for task in tasks.values() for queue in task.all_queues if queue.name not in found}
    return found | dict(sorted(others.items()))


def handle(ref: str) -> Handle[Any]:
    """The handle that has this `ref`, in any process that has the task.

    Raises InvalidReferenceError for a text that isn't a reference, LookupError if no task has the name in it, and
    NoTasksError, a ModuleNotFoundError, if Python doesn't find the package of the tasks.
    """
    parts = parse(ref)
    if parts.task not in tasks:
        load()
    task = tasks.get(parts.task)
    if task is None:
        raise LookupError(f"{ref!r} is the reference of a task {parts.task!r}, and none has that name here")
    return task.handle_of(parts.id, f"{task.name}:{parts.key}", parts.due)
