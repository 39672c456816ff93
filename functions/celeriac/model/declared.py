"""The declarations in the application's modules: its queues, its tables, the outbox's settings."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

from celeriac.model import settings
from celeriac.model.errors import CeleriacError, DeclarationError
from celeriac.model.queue import Queue
from celeriac.model.table import Outbox, Table

_package: str | None = None
"""The package that `application` reads from."""

packages: set[str] = set()
"""Every package that has been the application's package so far."""


class DuplicateNameError(DeclarationError):
    """Two tasks, queues or tables share a name, so a message couldn't say which one it means."""


class NoTasksError(CeleriacError, ModuleNotFoundError):
    """Python doesn't find the package of the application's tasks. The text has the cures."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"Python finds no package {package!r}, which should hold the tasks: go to the folder of your project, name "
            f"the package in {settings.TASKS} or by `source` in {settings.FILE}, and for a program set PYTHONPATH to "
            "the folder that holds the package",
            name=package,
        )


@contextmanager
def application(name: str) -> Iterator[None]:
    """Read tasks, queues and tables from the package `name`, until the block ends.

    A synth of several applications uses this, and so do the library's own tests: they must pass whatever `tasks`
    declares.
    """
    global _package  # noqa: PLW0603 - a process runs one application at a time
    package()  # that of the process is another application's now
    before, _package = _package, name
    packages.add(name)
    try:
        yield
    finally:
        _package = before


def package() -> str:
    """Return the import name of the package that declares the application's tasks, queues and tables."""
    name = _package or settings.tasks_package()
    packages.add(name)
    return name


def file(module: str) -> str:
    """Return the file of the application with this name as errors show it, such as `tasks/queues.py`."""
    return f"{package().rpartition('.')[2]}/{module}.py"


def of[T: Queue | Table](module: ModuleType, kind: type[T]) -> dict[str, T]:
    """Return the queues or tables that `module` declares, by name. Raises DuplicateNameError."""
    found: dict[str, tuple[str, T]] = {}
    for variable, value in vars(module).items():
        if isinstance(value, kind):
            other = found.setdefault(value.name, (variable, value))
            if other[1] is not value:
                raise DuplicateNameError(f"{module.__name__}: {other[0]} and {variable} are both named {value.name!r}")
    return {name: value for name, (_, value) in found.items()}


def queues() -> dict[str, Queue]:
    """Return the queues of `tasks/queues.py`, by name."""
    return of(_module(f"{package()}.queues"), Queue)


def tables() -> dict[str, Table]:
    """Return the tables of `tasks/tables.py`, by logical name."""
    return _tables(package())


@cache
def _tables(application: str) -> dict[str, Table]:
    return of(_module(f"{application}.tables"), Table)


def outbox() -> Outbox:
    """Return the outbox's settings in `tasks/tables.py`, or the default settings.

    Raises DuplicateNameError if `tasks/tables.py` declares more than one outbox.
    """
    found = [value for value in vars(_module(f"{package()}.tables")).values() if isinstance(value, Outbox)]
    if len(found) > 1:
        raise DuplicateNameError(f"{file('tables')} declares two outboxes: a stage has one")
    return found[0] if found else Outbox()


def hooks(application: str) -> object:
    """Return what `hooks.py` of the package `application` lists as `hooks`. Raises what the module raises."""
    return getattr(_module(f"{application}.hooks"), "hooks", ())


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {name, name.rpartition(".")[0]}:
            raise
        return ModuleType(name)  # a project without tables, or the library's own tests
