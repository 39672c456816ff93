"""`celeriac delayed show`: print one task that waits in a schedule, with its arguments."""

import json
from typing import Annotated, Any

import msgspec
import typer

from celeriac.aws import payloads
from celeriac.dead_letters.dead_letter import content
from celeriac.model.failure import Failure
from celeriac_console.application.loading import load
from celeriac_console.commands.dlq.show import MOST_CONTENT
from celeriac_console.delayed.name import named
from celeriac_console.delayed.record import key_of, record_of
from celeriac_console.delayed.waiting import Waiting
from celeriac_console.options import Json
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.text import line
from celeriac_console.terminal.times import instant_text


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The schedule's name, as `celeriac delayed list` shows it. Before its first run, a task can also be "
            "named by its reference or id.",
        ),
    ],
    *,
    json_: Json = False,
) -> None:
    """Show a task that waits in a schedule: when it is due, its arguments, and how its last attempt failed.

    Example: celeriac delayed show reports.9f86d081884c7d659a2feaa0c5
    """
    load()
    one = named(name)
    args, missing = _arguments(one)
    key = key_of(one)
    failure = _failure(one) if key is None else _recorded(record_of(one, key))
    if json_:
        typer.echo(json.dumps(one.as_json() | _more(one, args, missing, key.full if key else None, failure)))
        return
    say(line(f"{one.task or '(unreadable)'}  {one.id}"), style="bold")
    attempt = f", attempt {one.message.attempt}" if one.message is not None else ""
    say(line(f"due {instant_text(one.due)} in {one.queue or 'another target'}{attempt}"))
    if key is not None and key.value != one.id:
        say(line(f"key {key.value}"))
    for problem in filter(None, (one.problem, missing)):
        say(line(problem), style="red")
    say("\narguments" if args is not None else "\ninput")
    text = json.dumps(args, indent=2, ensure_ascii=False) if args is not None else one.body
    say(text[:MOST_CONTENT])
    if len(text) > MOST_CONTENT:
        say(f"... {len(text) - MOST_CONTENT} more characters: --json prints them all", style="yellow")
    if failure is not None and failure.type:
        say(f"\n{failure.type}: {failure.message}", style="bold")
        say(failure.traceback)
    if one.message is not None:
        say(f"\nrun it now: {command('delayed', 'run-now', one.name)}")
    say(f"cancel it: {command('delayed', 'cancel', one.name)}")


def _arguments(one: Waiting) -> tuple[Any, str]:
    """The arguments, or None and why they can't be read."""
    message = one.message
    if message is None:
        return None, ""
    raw, missing = content(payloads.load, one.target, message.stored) if message.stored else (message.args, "")
    try:
        return (None if missing else msgspec.json.decode(raw)), missing
    except (msgspec.MsgspecError, RecursionError):
        return None, "its arguments are no JSON"


def _failure(one: Waiting) -> Failure | None:
    return one.message.failure if one.message is not None else None


def _recorded(record: Any) -> Failure | None:
    return msgspec.json.decode(record["failure"], type=Failure) if "failure" in record else None


def _more(one: Waiting, args: Any, missing: str, key: str | None, failure: Failure | None) -> dict[str, Any]:
    return {
        "key": key,
        "args": args,
        "missing": missing,
        "input": one.body if args is None else None,
        "error": failure.type if failure else "",
        "message": failure.message if failure else "",
        "traceback": failure.traceback if failure else "",
    }
