"""`celeriac schema`: what other programs send to the tasks and read from the events."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from celeriac.declare import events, registry
from celeriac_console.application.by_name import task_names
from celeriac_console.application.loading import load
from celeriac_console.options import Json
from celeriac_console.schema import asyncapi, document
from celeriac_console.schema.changes import Change, changes
from celeriac_console.terminal.errors import FAILED, UserError
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.text import json_text

WRITE = "celeriac schema > schema.json"


def schema(
    name: Annotated[
        str, typer.Argument(help="A task or an event; all of them if it is left out.", autocompletion=task_names)
    ] = "",
    *,
    asyncapi_: Annotated[bool, typer.Option("--asyncapi", help="Print an AsyncAPI 3.0 document.")] = False,
    check: Annotated[
        str, typer.Option("--check", help="Compare with this older output of `celeriac schema`; - for standard input.")
    ] = "",
    json_: Json = False,
) -> None:
    """Print the JSON Schema of every task's message and of every event.

    With --check, print what has changed since an older output. Exit code 1 if a message or an event of then can't be
    read now. In CI: `git show origin/main:schema.json | celeriac schema --check -`

    Example: celeriac schema process_payment
    """
    if sum(map(bool, (name, asyncapi_, check))) > 1:
        raise UserError("give one of a name, --asyncapi and --check")
    load()
    if check:
        _tell(changes(_read(check), document.document()), json_=json_)
        return
    found = asyncapi.document() if asyncapi_ else _of(name) if name else document.document()
    typer.echo(json_text(found, indent=2))


def _of(name: str) -> dict[str, Any]:
    tasks = list(registry.tasks.values())
    known = events.declared_events(tasks)
    if name in registry.tasks:
        return document.of_task(registry.tasks[name])
    if name in known:
        return document.of_event(known[name], tasks)
    names = ", ".join([*sorted(registry.tasks), *sorted(known)])
    raise UserError(f"no task and no declared event is named {name!r}. Known names: {names or 'none'}.")


def _read(file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        if file == "-" and not text.strip():
            raise UserError("standard input was empty: the command before the pipe has printed nothing")
        found = json.loads(text)
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}. Write it with: {WRITE}") from error
    except ValueError as error:
        raise UserError(
            f"{'standard input' if file == '-' else file} is no JSON: {error}. Write it with: {WRITE}"
        ) from error
    if not isinstance(found, dict) or found.get("celeriac") != document.FORMAT or "tasks" not in found:
        raise UserError(f"{file} isn't the whole output of `celeriac schema`. Write it with: {WRITE}")
    return found


def _tell(found: list[Change], *, json_: bool) -> None:
    breaking = [change.text for change in found if change.breaks]
    compatible = [change.text for change in found if not change.breaks]
    if json_:
        typer.echo(json.dumps({"breaking": breaking, "compatible": compatible}))
    else:
        for text in breaking:
            say(f"BREAKING {text}", style="red")
        for text in compatible:
            say(f"ok       {text}", style="dim")
        if not found:
            say("ok       nothing has changed")
    if breaking:
        raise typer.Exit(FAILED)
