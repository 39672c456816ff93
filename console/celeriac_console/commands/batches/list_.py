"""`celeriac batches list`: show the batches that haven't ended."""

from typing import Annotated

import msgspec
import typer

from celeriac_console.batches.found import MOST_LISTED, unended
from celeriac_console.batches.table import table
from celeriac_console.options import Json
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.screen import Screen, say


def list_batches(
    *,
    late: Annotated[bool, typer.Option("--late", help="Only batches that should have ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=MOST_LISTED, help="At most so many, late ones first.")] = 100,
    json_: Json = False,
) -> None:
    """Show the batches that haven't ended, those first that are late, then the oldest.

    The counts are those of a moment: members go on. The list is a second or so behind. A batch that was given up, or
    whose block was left by an error, isn't listed.

    Example: celeriac --stage prod batches list --late
    """
    listed = unended(limit, late=late)
    if json_:
        typer.echo(msgspec.json.encode([each.as_json() for each in listed.found]).decode())
    elif not listed.found:
        say("no batch is late" if late else "every batch has ended")
    else:
        screen = Screen()
        screen.print(table(listed.found, screen))
        say(f"see what one waits for: {command('batches', 'show', listed.found[0].batch.id)}")
    if listed.is_cut:
        more = command("batches", "list", *["--late"] * late, "--limit", str(min(limit * 10, MOST_LISTED)))
        cure = f": {more}" if limit < MOST_LISTED else f" than {MOST_LISTED:,}"
        say(f"There are more{cure}", stderr=True)
