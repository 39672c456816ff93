"""`celeriac send`: enqueue a task by hand, checked against its signature first."""

import json
import sys
from typing import Annotated, Any

import typer

from celeriac import registry
from console.mistakes import Mistake, nearest


def send(
    task: Annotated[str, typer.Argument(help="The task's name.")],
    arg: Annotated[list[str] | None, typer.Option(help="One argument, as name=value; JSON or plain text.")] = None,
    json_: Annotated[
        str | None, typer.Option("--json", help="All arguments as a JSON object; `-` reads standard input.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="The message's group.")] = None,
) -> None:
    """Enqueue a task.

    Example: `celeriac send send_welcome_email --arg user_id=7 --arg email=a@example.org`
    """
    registry.load()
    found = registry.tasks.get(task)
    if found is None:
        raise Mistake(f"no task is named {task!r}.{nearest(task, list(registry.tasks))}")
    arguments = _object(json_) | dict(_pair(text) for text in arg or [])
    handle = found.options(group=group).enqueue(**arguments)
    typer.echo(handle.id)


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise Mistake(f"--json takes a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise Mistake("--json takes a JSON object, such as '{\"user_id\": 7}'")
    return value


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Mistake(f"--arg takes name=value, not {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
