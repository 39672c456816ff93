"""The task that a reference names."""

from typing import Any

from celeriac import handle
from celeriac.declare import registry
from celeriac.declare.handle import Handle
from celeriac.declare.reference import InvalidReferenceError, parse
from celeriac.leases.status import Status
from celeriac_console.application import by_name
from celeriac_console.lookup.keys import key_and_record


def id_of(text: str) -> str:
    """The id in a reference. A text that is not a reference is returned unchanged."""
    try:
        parts = parse(text)
    except InvalidReferenceError:
        return text
    return parts.id if parts.due is not None else text


def by_reference(text: str) -> tuple[Handle[Any], Status] | None:
    """The task that a reference names, with its status. None if `text` is no reference.

    Raises UserError for an unknown task.
    """
    try:
        parts = parse(text)
    except InvalidReferenceError:
        return None
    if parts.due is not None:
        by_name.task(parts.task)
        made = handle(text)
        return made, made.status()
    if parts.task not in registry.tasks or parts.id != parts.key:
        return None  # not a reference: a key that contains a slash
    # A reference typed by hand: the task, and its key or its id.
    task = registry.tasks[parts.task]
    full, record = key_and_record(task, parts.key)
    made = task.handle_of("" if record else parts.id, full)
    return made, made.status()
