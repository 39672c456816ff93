"""The idempotency record of a delayed task."""

from collections.abc import Mapping
from typing import Any

from celeriac.aws import payloads
from celeriac.consume.duplicate import key_in_use
from celeriac.declare import lookup, registry
from celeriac.declare.key import Key
from celeriac.declare.signature import InvalidArgumentsError
from celeriac.model.payload import PayloadError
from celeriac_console.delayed.waiting import Waiting


def key_of(one: Waiting) -> Key | None:
    """The key that the consumer will claim for a task.

    None for a task that keeps no record, that no declaration knows, or that will not run: it is in the wrong queue, or
    its arguments can't be read.
    """
    message, task = one.message, registry.tasks.get(one.task)
    declared = registry.queues().get(one.queue)
    if message is None or not message.id or task is None or declared is None:
        return None
    if task.guarantee == "at_least_once" or not task.runs_from(declared):
        return None
    try:
        raw = payloads.load(one.target, message.stored) if message.stored else message.args
        arguments = task.signature.decode(raw)
        return key_in_use(task.key_of(arguments, message, raw), task, message)
    except (InvalidArgumentsError, PayloadError):
        return None


def record_of(one: Waiting, key: Key) -> Mapping[str, Any]:
    """The record of a task's key, if it is of this message; else empty."""
    task = registry.tasks[one.task]
    record = lookup.record(task.name, key.full, task.queue, task.guarantee)
    return record if record.get("task_id") == one.id else {}
