"""Arguments of a task as people type them: `name=value`."""

import json
from typing import Any, get_type_hints

from celeriac import Task
from celeriac_console.terminal.errors import UserError


def split(text: str) -> tuple[str, str]:
    """The name and the value of `name=value`. Raises UserError if there is no `=`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"an argument is written name=value, not {text!r}")
    return name, value


def value_for(task: Task[..., Any, Any] | None, name: str, text: str) -> Any:
    """The value of `text` as JSON. The text itself if it is no JSON, or if the task's parameter is a `str`."""
    if task is not None and get_type_hints(task.function).get(name) is str:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
