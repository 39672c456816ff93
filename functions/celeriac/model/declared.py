"""What the application's modules declare: its queues, its tables, the outbox's settings."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

from celeriac.model.declaration import DeclarationError
from celeriac.model.queue import Queue
from celeriac.model.table import Outbox, Table

package = "tasks"
"""Where the application's tasks, queues and tables are declared. `application` names another for a while."""

packages = {package}
"""Every package that was one so far."""


class DuplicateNameError(DeclarationError):
    """Two tasks, queues or tables share a name; a message couldn't tell them apart."""


@contextmanager
def application(name: str) -> Iterator[None]:
    """Read tasks, queues and tables from the package `name`, and not from `tasks`, until the block is left.

    The library's own tests do: they must pass whatever `tasks` declares.
    """
    global package  # noqa: PLW0603 - a process runs one application at a time
    before, package = package, name
    packages.add(name)
    try:
        yield
    finally:
        package = before


def of[T: Queue | Table](module: ModuleType, kind: type[T]) -> dict[str, T]:
    """The queues or tables that `module` declares, by name. Raises DuplicateNameError."""
    found: dict[str, tuple[str, T]] = {}
    for variable, value in vars(module).items():
        if isinstance(value, kind):
            other = found.setdefault(value.name, (variable, value))
            if other[1] is not value:
                raise DuplicateNameError(f"{module.__name__}: {other[0]} and {variable} are both named {value.name!r}")
    return {name: value for name, (_, value) in found.items()}


def queues() -> dict[str, Queue]:
    """The queues of `tasks/queues.py`, by name."""
    return of(_module(f"{package}.queues"), Queue)


def tables() -> dict[str, Table]:
    """The tables of `tasks/tables.py`, by logical name."""
    return _tables(package)


@cache
def _tables(application: str) -> dict[str, Table]:
    return of(_module(f"{application}.tables"), Table)


def outbox() -> Outbox:
    """The outbox's settings in `tasks/tables.py`, or the default ones. Raises DuplicateNameError for two of them."""
    found = [value for value in vars(_module(f"{package}.tables")).values() if isinstance(value, Outbox)]
    if len(found) > 1:
        raise DuplicateNameError("tasks/tables.py declares two outboxes: a stage has one")
    return found[0] if found else Outbox()


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {name, name.rpartition(".")[0]}:
            raise
        return ModuleType(name)  # a project without tables, or a library's own tests
