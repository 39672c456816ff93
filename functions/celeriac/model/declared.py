"""The declarations in the application's modules: its queues, its tables, the outbox's settings."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

from celeriac.model.errors import DeclarationError
from celeriac.model.queue import Queue
from celeriac.model.table import Outbox, Table

package = "tasks"
"""The package that declares the application's tasks, queues and tables. `application` replaces it temporarily."""

packages = {package}
"""Every package that has been the application's package so far."""


class DuplicateNameError(DeclarationError):
    """Two tasks, queues or tables share a name, so a message couldn't say which one it means."""


@contextmanager
def application(name: str) -> Iterator[None]:
    """Read tasks, queues and tables from the package `name` instead of `tasks`, until the block ends.

    The library's own tests use this: they must pass whatever `tasks` declares.
    """
    global package  # noqa: PLW0603 - a process runs one application at a time
    before, package = package, name
    packages.add(name)
    try:
        yield
    finally:
        package = before


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
    return of(_module(f"{package}.queues"), Queue)


def tables() -> dict[str, Table]:
    """Return the tables of `tasks/tables.py`, by logical name."""
    return _tables(package)


@cache
def _tables(application: str) -> dict[str, Table]:
    return of(_module(f"{application}.tables"), Table)


def outbox() -> Outbox:
    """Return the outbox's settings in `tasks/tables.py`, or the default settings.

    Raises DuplicateNameError if `tasks/tables.py` declares more than one outbox.
    """
    found = [value for value in vars(_module(f"{package}.tables")).values() if isinstance(value, Outbox)]
    if len(found) > 1:
        raise DuplicateNameError("tasks/tables.py declares two outboxes: a stage has one")
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
