"""The task that a reference names."""

from typing import Any
from urllib.parse import unquote

from celeriac import handle
from celeriac.declare import registry
from celeriac.declare.handle import Handle
from celeriac.declare.reference import InvalidReferenceError, parse
from celeriac.leases.status import Status
from celeriac_console.application import by_name
from celeriac_console.lookup.keys import key_and_record


def ids_of(text: str) -> frozenset[str]:
    """The ids that a text may mean: itself, and the id in a reference, also in one that was cut at a `/` or an `@`.

    In `charge/0198f3c2/o-1@1764086400` a double click takes only the part between two of these marks.
    """
    words = text.strip().partition("@")[0].split("/")
    named = words[1:2] if words[0] in registry.tasks else words[:2]
    return frozenset({text, *(unquote(word) for word in named if word)})


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
