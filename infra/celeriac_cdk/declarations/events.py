"""Events and their subscribers: whether each task can take the events that it subscribes to, and what nobody takes."""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from celeriac import Event, Task
from celeriac.declare import schema
from celeriac.declare.events import is_for
from celeriac.model import declared
from celeriac.model.errors import DeclarationError
from celeriac_cdk.declarations.fitting import cannot_fit

_WILD = frozenset("*?")


class Emitted(NamedTuple):
    """The events that sources emit by a literal name."""

    names: frozenset[str]
    knows_all: bool
    """False if a name is a variable somewhere: it could be any event."""


class EventWarning(NamedTuple):
    """What to tell at synth, with the end of its id."""

    id: str
    text: str


def check_subscribers(tasks: Sequence[Task[..., Any, Any]], events: Mapping[str, Event[...]]) -> None:
    """Raise DeclarationError for a task that would fail with every event of one of its types.

    Only declared events are known. A field that the task has no parameter for isn't passed to it.
    """
    for name, event in events.items():
        try:
            data = schema.of_event(event)
        except TypeError as error:
            raise DeclarationError(f"the event {name!r}: its class can't be read from JSON: {error}") from error
        for task in tasks:
            if not is_for(task, name):
                continue
            arguments = schema.of_arguments(task.signature)
            missing = [each for each in arguments.required if each not in data.properties]
            if missing and not data.is_open:
                raise DeclarationError(
                    f"task {task.name!r} subscribes to {task.on!r}, and the event {name!r} has no "
                    f"{', '.join(missing)}: give the parameter a default, or emit the field; the event has "
                    f"{', '.join(data.properties)}"
                )
            for field in arguments.properties.keys() & data.properties.keys():
                why = cannot_fit(
                    data.properties[field], arguments.properties[field], data.definitions, arguments.definitions
                )
                if why:
                    raise DeclarationError(
                        f"task {task.name!r} subscribes to {task.on!r}, and can't take the {field} of the event "
                        f"{name!r}: {why}: change the type of one of them"
                    )


def emitted(sources: Iterable[Path]) -> Emitted:
    """Return the literal names in calls of `emit` with a name and data. Calls with a declared event are left out."""
    found: set[str] = set()
    knows_all = True
    for source in sources:
        for name in _emits(source):
            if name is None:
                knows_all = False
            else:
                found.add(name)
    return Emitted(frozenset(found), knows_all)


def warnings(
    tasks: Sequence[Task[..., Any, Any]], events: Mapping[str, Event[...]], literal: Emitted, *, has_bus: bool
) -> Iterator[EventWarning]:
    """Yield a warning for each name of `on=` that nothing emits, and for each event that nobody subscribes to.

    A pattern may be meant for events to come. A bus takes every event.
    """
    known = events.keys() | literal.names
    if literal.knows_all:
        for name in sorted({task.on for task in tasks if task.on is not None and not _WILD & set(task.on)} - known):
            subscribed = ", ".join(sorted(task.name for task in tasks if task.on == name))
            yield EventWarning(
                f"event-{name}-not-emitted",
                f"{subscribed} subscribes to {name!r}, which no task emits and no module declares: correct the name, "
                f"or, if a program outside the tasks emits it, declare it with Event({name!r}, ...)",
            )
    if has_bus:
        return
    for name in sorted(known):
        if not any(is_for(task, name) for task in tasks):
            yield EventWarning(
                f"event-{name}-without-subscriber",
                f"nobody subscribes to the event {name!r}: write @task(..., on=...), or remove the event",
            )


def sources() -> list[Path]:
    """Return the files of the application's loaded modules."""
    package = declared.package()
    found = {
        getattr(module, "__file__", None)
        for name, module in list(sys.modules.items())
        if name == package or name.startswith(f"{package}.")
    }
    return sorted(Path(file) for file in found if file is not None and file.endswith(".py"))


def _emits(source: Path) -> Iterator[str | None]:
    """Yield the name in each `x.emit(name, data)`; None for a name that isn't a literal."""
    for node in ast.walk(ast.parse(source.read_bytes(), filename=str(source))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr != "emit":
            continue
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        first = node.args[0] if node.args else named.get("event")
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value
        elif first is None or isinstance(first, ast.Starred) or None in named or len(node.args) > 1 or "data" in named:
            yield None  # a declared event comes alone, with its data inside it
