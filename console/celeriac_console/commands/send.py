"""`celeriac send`: enqueue a task by hand. Its arguments are checked against its signature first."""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from celeriac import ResultNotKeptError, Task, TaskCancelled, TaskFailedError
from celeriac.declare import lookup
from celeriac.declare.handle import Handle
from celeriac_console.application import by_name
from celeriac_console.application.arguments import split, value_for
from celeriac_console.options import TaskName
from celeriac_console.terminal.errors import FAILED, UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.text import json_text, line
from celeriac_console.terminal.times import duration, duration_text, instant_text

Arg = Annotated[list[str] | None, typer.Option(help="One argument, as name=value; JSON or plain text.")]
Arguments = Annotated[
    str | None,
    typer.Option("--json", help="All arguments, as a JSON object: its text, a file, or `-` for standard input."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the result and print it. Exit code 1 if the task fails.")]
Timeout = Annotated[str, typer.Option(help="How long to --wait: 90s, 5m, 2h.")]


def send(
    task: TaskName,
    *,
    arg: Arg = None,
    json_: Arguments = None,
    group: Annotated[str | None, typer.Option(help="The message's group.")] = None,
    key: Annotated[str | None, typer.Option(help="An idempotency key of your own.")] = None,
    delay: Annotated[str | None, typer.Option(help="Delay before the task runs: 90s, 5m, 2h or 7d.")] = None,
    expires: Annotated[str | None, typer.Option(help="Cancel it if it hasn't started after so long: 90s, 5m.")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many messages to send, each with its own id.")] = 1,
    wait: Wait = False,
    timeout: Timeout = "60s",
) -> None:
    """Enqueue a task. Prints its reference, for `celeriac status`. The next command to try goes to standard error.

    Example: celeriac send send_welcome_email --arg user_id=7 --arg email=a@example.org
    """
    found, longest = by_name.task(task), duration(timeout)
    given = arguments(found, arg, json_)
    try:
        bound = found.options(
            group=group,
            key=key,
            delay=duration(delay) if delay is not None else timedelta(),
            expires=duration(expires) if expires is not None else None,
        )
        handles = bound.enqueue_many([given] * count) if count > 1 else [bound.enqueue(**given)]
    except ValueError as error:  # a group or a delay that its queue doesn't support, an expiry too soon
        raise UserError(str(error)) from error
    sent(handles, wait=wait, timeout=longest)


def arguments(task: Task[..., Any, Any], arg: list[str] | None, json_: str | None) -> dict[str, Any]:
    """The arguments of `--json` and `--arg`. `--arg` wins. Raises UserError for a text that can't be read."""
    return _object(json_) | {name: value_for(task, name, text) for name, text in map(split, arg or [])}


def sent(handles: list[Handle[Any]], *, wait: bool, timeout: timedelta) -> None:
    """Print the references, a warning for a duplicate, and the next command to try. With `wait`, print the results."""
    for handle in handles:
        typer.echo(handle.ref)
    _say_duplicate(handles[0])
    if wait:
        results = [_waited(handle, timeout) for handle in handles]
        if not all(results):
            raise typer.Exit(FAILED)
    else:
        say(f"next: {command('status', handles[0].ref)}", stderr=True)


def _say_duplicate(handle: Handle[Any]) -> None:
    """Warn if the key was used before: then the message doesn't run, and its sender must know."""
    key = handle.key.removeprefix(f"{handle.task}:")
    if key == handle.id:
        return
    try:
        status = handle.status()
    except (BotoCoreError, ClientError) as error:
        # The message is sent. A sender may lack the permission to read records: that is no error.
        if not lookup.is_denied(error):
            say(f"could not check whether its key was used before: {error}", stderr=True)
        return
    if status.duplicate_of is not None:
        say(
            f"duplicate of {line(status.duplicate_of)}, {status.state} {instant_text(status.since)}: the key "
            f"{line(key)} was used, so this message does not run.\nrun it again: {command('rerun', handle.task, key)}\n"
            f"or forget that it ran: {command('forget', handle.task, key)}",
            style="yellow",
            stderr=True,
        )


def _waited(handle: Handle[Any], timeout: timedelta) -> bool:
    """Wait for the task and print its result. Returns whether the task has succeeded."""
    try:
        result = handle.result(timeout)
    except TaskCancelled as cancelled:
        say(f"{cancelled}\nsee it: {command('status', handle.ref)}", style="red", stderr=True)
        return False
    except TaskFailedError as failed:
        see = command("dlq", "show", handle.queue.name, handle.status().id)
        say(f"{failed}\nsee it: {see}", style="red", stderr=True)
        return False
    except TimeoutError:
        status = handle.status()
        last = f", its last error is {line(status.failure.type)}" if status.failure and status.failure.type else ""
        say(f"it is {status.state} after {duration_text(timeout)}{last}: {command('status', handle.ref)}", stderr=True)
        return False
    except ResultNotKeptError as not_kept:
        say(str(not_kept), stderr=True)
        return True
    except TypeError as error:  # an at_least_once task
        raise UserError(str(error)) from error
    typer.echo(json_text(handle.status().result if result is not None else None, indent=2))
    return True


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
        raise UserError(f"--json takes a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise UserError("--json takes a JSON object, such as '{\"user_id\": 7}'")
    return value
