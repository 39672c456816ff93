"""`celeriac plan`: what the next deploy would lose, leave behind, or fail at."""

import json
from pathlib import Path
from typing import Annotated

import typer

from celeriac_console.options import Json
from celeriac_console.plan import assembly
from celeriac_console.terminal.errors import FAILED
from celeriac_console.terminal.screen import say


def plan(
    folder: Annotated[Path, typer.Option("--synth", help="The folder that a synth has written.")] = Path("cdk.out"),
    *,
    json_: Json = False,
) -> None:
    """Compare the templates of the last synth with those that are deployed, in words.

    Run it after `make synth`; `make diff` runs it at its end. Exit code 1 if something would be lost or replaced.

    Example: celeriac --stage prod plan
    """
    found = dict(assembly.plan(folder))
    if json_:
        typer.echo(json.dumps(found))
    else:
        if not found:
            say("nothing is deployed yet")
        for stack, warnings in found.items():
            for warning in warnings:
                say(f"WARNING {stack}: {warning}", style="yellow")
            if not warnings:
                say(f"ok      {stack}: nothing is lost or replaced")
    if any(found.values()):
        raise typer.Exit(FAILED)
