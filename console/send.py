"""`celeriac send`: enqueue a task by hand, checked against its signature first."""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from console import known
from console.arguments import split, value_for
from console.duration import duration
from console.mistakes import Mistake


def send(
    task: Annotated[str, typer.Argument(help="The task's name.")],
    *,
    arg: Annotated[list[str] | None, typer.Option(help="One argument, as name=value; JSON or plain text.")] = None,
    json_: Annotated[
        str | None, typer.Option("--json", help="All arguments, as a JSON object: the text, a file, or `-`.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="The message's group.")] = None,
    key: Annotated[str | None, typer.Option(help="An idempotency key of your own.")] = None,
    delay: Annotated[str | None, typer.Option(help="How long it is to wait: 90s, 5m, 2h or 7d.")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="So many messages, each with an id of its own.")] = 1,
) -> None:
    """Enqueue a task; prints its id.

    Example: celeriac send send_welcome_email --arg user_id=7 --arg email=a@example.org
    """
    found = known.task(task)
    arguments = _object(json_) | {name: value_for(found, name, text) for name, text in map(split, arg or [])}
    try:
        bound = found.options(group=group, key=key, delay=duration(delay) if delay is not None else timedelta())
        handles = bound.enqueue_many([arguments] * count) if count > 1 else [bound.enqueue(**arguments)]
    except ValueError as error:  # a group or delay that its queue can't have
        raise Mistake(str(error)) from error
    for handle in handles:
        typer.echo(handle.id)


def _object(given: str | None) -> dict[str, Any]:
    if given is None:
        return {}
    try:
        if given == "-":
            text = sys.stdin.read()
        else:
            text = given if given.lstrip().startswith(("{", "[")) else Path(given).read_text(encoding="utf-8")
        value = json.loads(text)
    except ValueError as error:
        raise Mistake(f"--json takes a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise Mistake("--json takes a JSON object, such as '{\"user_id\": 7}'")
    return value
