"""The schema of every task's message and of every event, as `celeriac schema` prints them."""

import inspect
from collections.abc import Iterable
from typing import Any

from celeriac import Event, Task
from celeriac.declare import events, registry, schema
from celeriac.declare.schema import Fields, Schema
from celeriac.model import settings
from celeriac.model.message import VERSION

FORMAT = 1
"""The version of the document. `--check` reads this one."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"
OWN = "x-celeriac"
"""The keyword for what JSON Schema has no word for: the queue, the key."""
# What a sender may set. The fields beside them are for retries and dead letters.
_SET_BY_SENDERS = ("id", "key", "enqueued_at", "due_at", "expires_at", "stored")


def document() -> Schema:
    """The schemas of all loaded tasks and of all declared events."""
    tasks = [task for _, task in sorted(registry.tasks.items())]
    return {
        "celeriac": FORMAT,
        "application": settings.application(),
        "tasks": {task.name: of_task(task) for task in tasks},
        "events": {name: of_event(event, tasks) for name, event in sorted(events.declared_events(tasks).items())},
    }


def of_task(task: Task[..., Any, Any]) -> Schema:
    """The schema of a message for one task, as any program may send it."""
    fields = schema.of_arguments(task.signature)
    needs_args: Schema = {"anyOf": [{"required": ["args"]}, {"required": ["stored"]}]} if fields.required else {}
    return {
        "$schema": DIALECT,
        "title": task.name,
        **_described(inspect.getdoc(task.function)),
        "type": "object",
        "properties": {
            "task": {"const": task.name},
            "args": {**_object(fields), "additionalProperties": False},
            "v": {"type": ["integer", "null"], "maximum": VERSION},
            **_envelope(),
        },
        "required": ["task"],
        **needs_args,
        **_definitions(fields),
        OWN: {
            "queue": task.queue.name,
            "fifo": task.queue.fifo,
            "former_queues": [queue.name for queue in task.former_queues],
            "key": task.key,
            "delivery": task.guarantee,
            "on": task.on,
        },
    }


def of_event(event: Event[...], tasks: Iterable[Task[..., Any, Any]]) -> Schema:
    """The schema of an event's data."""
    fields = schema.of_event(event)
    return {
        "$schema": DIALECT,
        "title": event.name,
        **_described(inspect.getdoc(event.payload)),
        **_object(fields),
        **_definitions(fields),
        OWN: {"subscribers": sorted(task.name for task in tasks if events.is_for(task, event.name))},
    }


def _object(fields: Fields) -> Schema:
    return {"type": "object", "properties": fields.properties, "required": fields.required}


def _definitions(fields: Fields) -> Schema:
    return {"$defs": fields.definitions} if fields.definitions else {}


def _described(text: str | None) -> Schema:
    """The first paragraph of a docstring."""
    first = " ".join((text or "").split("\n\n")[0].split())
    return {"description": first} if first else {}


def _envelope() -> dict[str, Schema]:
    """The fields beside `args`. A field that is null isn't set."""
    found = schema.of_message(_SET_BY_SENDERS)
    return {name: _or_null(its) for name, its in found.items()}


def _or_null(found: Schema) -> Schema:
    if "anyOf" in found:
        return found
    return {"anyOf": [found, {"type": "null"}]}
