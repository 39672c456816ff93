"""`celeriac quarantine add`: dead-letter the messages of a task, or of a kind of failure, without running them."""

import json
from typing import Annotated

import typer

from celeriac.consume import quarantine
from celeriac_console.application.quarantined import entry_of
from celeriac_console.options import Json
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
    entry = entry_of(task, kind)
    quarantine.add(entry)
    end = command("quarantine", "lift", *(["--task", task] if task is not None else ["--kind", str(kind)]))
    say(json.dumps(entry) if json_ else f"{entry} is in quarantine within a minute; end it: {end}")
