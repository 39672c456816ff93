"""The idempotency key that an operator types, and its record."""

from collections.abc import Mapping
from typing import Any

from celeriac import Task
from celeriac.declare import lookup
from celeriac_console.application.arguments import value_for


def key_and_record(task: Task[..., Any, Any], key: str) -> tuple[str, Mapping[str, Any]]:
    """The idempotency key that `key` stands for, and its record.

    `key` is a value of the task's key parameter, which the task turns into its own spelling, or a key that was given
    with the message.
    """
    typed = f"{task.name}:{key}"
    full = task.key_for(value_for(task, task.key, key)) if task.key is not None else typed
    record = lookup.record(task.name, full, task.queue, task.guarantee)
    if not record and full != typed and (found := lookup.record(task.name, typed, task.queue, task.guarantee)):
        return typed, found
    return full, record
