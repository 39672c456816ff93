"""The AsyncAPI 3.0 document of a stage: its queues as channels, its tasks and events as messages and operations."""

import re
from typing import Any
from urllib.parse import quote

from celeriac import Queue
from celeriac.declare import registry
from celeriac.model import declared, names, settings
from celeriac.model.version import VERSION
from celeriac_console.schema import document as documents
from celeriac_console.schema.document import OWN

type Part = dict[str, Any]

DIALECT = "application/schema+json;version=draft-2020-12"
_VALUES = frozenset({"default", "enum", "const", "examples"})
"""Words whose values are values, not schemas."""
BINDING = "0.2.0"
"""The version of the SQS binding that AsyncAPI 3.0 has."""
EVENTS = "events"
"""The channel of the events. No queue has this name in the document: queues begin with `queue.`."""


def document() -> Part:
    """The document of the current stage, which names the queues as they are named there."""
    schemas = documents.document()
    stage = settings.stage()
    tasks: Part = schemas["tasks"]
    events: Part = schemas["events"]
    channels = {f"queue.{queue.name}": _channel(queue, stage, tasks) for queue in registry.queues().values()}
    operations = {
        f"run.{_key(task)}": _operation("receive", f"queue.{its[OWN]['queue']}", f"task.{_key(task)}", its)
        for task, its in tasks.items()
    }
    if events:
        channels[EVENTS] = _events(stage, events)
        operations |= {
            f"emit.{_key(event)}": _operation("send", EVENTS, f"event.{_key(event)}", its)
            for event, its in events.items()
        }
    messages = {f"task.{_key(task)}": _message(f"task.{_key(task)}", its) for task, its in tasks.items()}
    messages |= {f"event.{_key(event)}": _message(f"event.{_key(event)}", its) for event, its in events.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"{schemas['application']} {stage}", "version": VERSION},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _channel(queue: Queue, stage: str, tasks: Part) -> Part:
    dead_letters = queue.dead_letter_name(stage)
    policy = {"deadLetterQueue": {"name": dead_letters}, "maxReceiveCount": queue.receive_limit}
    of_queue: Part = {
        "name": queue.physical_name(stage),
        "fifoQueue": queue.fifo,
        "visibilityTimeout": int(queue.visibility.total_seconds()),
        "messageRetentionPeriod": int(queue.retention.total_seconds()),
        "redrivePolicy": policy,
    }
    of_letters: Part = {
        "name": dead_letters,
        "fifoQueue": queue.fifo,
        "messageRetentionPeriod": int(queue.dead_letter_retention.total_seconds()),
    }
    mine = [f"task.{_key(task)}" for task, its in tasks.items() if its[OWN]["queue"] == queue.name]
    return {
        "address": queue.physical_name(stage),
        "description": f"The queue {queue.name} of the stage {stage}.",
        "messages": _references(mine),
        "bindings": {"sqs": {"queue": of_queue, "deadLetterQueue": of_letters, "bindingVersion": BINDING}},
    }


def _events(stage: str, events: Part) -> Part:
    has_bus = declared.outbox().bus
    through = "its bus, as the `data` of a CloudEvent, and to the tasks" if has_bus else "the tasks"
    return {
        "address": names.bus(stage) if has_bus else None,
        "description": f"The events of the stage {stage}. Its outbox publishes them to {through} that subscribe.",
        "messages": _references([f"event.{_key(event)}" for event in events]),
    }


def _operation(action: str, channel: str, message: str, schema: Part) -> Part:
    summary = {"summary": schema["description"]} if "description" in schema else {}
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        **summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _references(messages: list[str]) -> Part:
    return {each: {"$ref": f"#/components/messages/{each}"} for each in messages}


def _message(key: str, schema: Part) -> Part:
    kept = {word: value for word, value in schema.items() if word not in {"$schema", OWN}}
    here = f"#/components/messages/{key}/payload/schema/$defs/"
    return {
        "name": schema["title"],
        "contentType": "application/json",
        "payload": {"schemaFormat": DIALECT, "schema": _moved(kept, here)},
        OWN: schema[OWN],
    }


def _moved(part: Any, here: str) -> Any:
    """The part of a schema, with references that lead from the whole document's root."""
    if isinstance(part, list):
        return [_moved(each, here) for each in part]
    if not isinstance(part, dict):
        return part
    if isinstance(reference := part.get("$ref"), str):
        name = reference.removeprefix("#/$defs/")
        return part | {"$ref": here + quote(name.replace("~", "~0").replace("/", "~1"))}
    return {word: value if word in _VALUES else _moved(value, here) for word, value in part.items()}


def _key(name: str) -> str:
    """A name with only the characters that AsyncAPI takes in keys: other ones become their number."""
    return re.sub(r"[^A-Za-z0-9.-]", lambda found: "_" if found[0] == "_" else f"_{ord(found[0]):x}_", name)
