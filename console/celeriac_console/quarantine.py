"""`celeriac quarantine`: dead-letter the messages of a task, or of a kind of failure, without running them."""

import json
from typing import Annotated

import typer

from celeriac.consume import quarantine
from celeriac_console import known
from celeriac_console.options import Json
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.screen import say

OfATask = Annotated[str | None, typer.Option("--task", help="Every message of this task.")]
OfAKind = Annotated[
    str | None,
    typer.Option("--kind", help="Every message that failed in this way before: a kind of `celeriac dlq list`."),
]


def add(*, task: OfATask = None, kind: OfAKind = None, json_: Json = False) -> None:
    """Dead-letter the matching messages without running them. Workers apply this within a minute.

    Example: celeriac quarantine add --task process_payment
    """
    entry = _entry(task, kind)
    quarantine.add(entry)
    end = command("quarantine", "lift", *(["--task", task] if task is not None else ["--kind", str(kind)]))
    say(json.dumps(entry) if json_ else f"{entry} is in quarantine within a minute; end it: {end}")


def lift(*, task: OfATask = None, kind: OfAKind = None, json_: Json = False) -> None:
    """End a quarantine. Its dead letters stay dead until they are redriven.

    Example: celeriac quarantine lift --task process_payment
    """
    entry = _entry(task, kind)
    if entry not in quarantine.entries():
        raise UserError(f"{entry} isn't in quarantine: celeriac quarantine list shows what is")
    quarantine.lift(entry)
    redrive = command("dlq", "redrive", "QUEUE")
    freed = f"{entry} is free again within a minute; redrive what it has dead-lettered: {redrive}"
    say(json.dumps(entry) if json_ else freed)


def list_(*, json_: Json = False) -> None:
    """Show which tasks and kinds of failure are in quarantine.

    Example: celeriac quarantine list
    """
    entries = sorted(quarantine.entries())
    if json_:
        typer.echo(json.dumps(entries))
        return
    say("\n".join(entries) if entries else "nothing is in quarantine")


def _entry(task: str | None, kind: str | None) -> str:
    if (task is None) == (kind is None):
        raise UserError("give one of --task and --kind")
    return quarantine.of_task(known.task(task).name) if task is not None else quarantine.of_failure(kind or "")
