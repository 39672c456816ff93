"""`celeriac quarantine list`: show the quarantines."""

import json

import typer

from celeriac.consume import quarantine
from celeriac_console.options import Json
from celeriac_console.terminal.screen import say


def list_quarantines(*, json_: Json = False) -> None:
    """Show which tasks and kinds of failure are in quarantine.

    Example: celeriac quarantine list
    """
    entries = sorted(quarantine.entries())
    if json_:
        typer.echo(json.dumps(entries))
        return
    say("\n".join(entries) if entries else "nothing is in quarantine")
