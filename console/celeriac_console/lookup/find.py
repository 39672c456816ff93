"""The tasks that an operator's text names: a reference, an id or a key."""

from collections.abc import Sequence
from typing import Any

from celeriac import Task
from celeriac_console.lookup.reference import by_reference
from celeriac_console.lookup.search import Answer, by_key_or_id


def found(text: str, tasks: Sequence[Task[..., Any, Any]], *, every_record: bool) -> list[Answer]:
    """The task of a reference, or the tasks with this key or id, each with its status."""
    named = by_reference(text)
    return [named] if named is not None else by_key_or_id(text, tasks, every_record=every_record)
