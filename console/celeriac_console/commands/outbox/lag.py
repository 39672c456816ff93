"""`celeriac outbox lag`: show the age of the oldest unpublished row, and the parked rows of the outbox."""

import json
from datetime import UTC, datetime

import typer

from celeriac.aws.items import plain
from celeriac.relay import unpublished
from celeriac_console.application.loading import load
from celeriac_console.options import Json
from celeriac_console.terminal.errors import FAILED
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.text import line

# This many parked rows are shown. Their full number is always printed.
MOST_PARKED = 20
SHOWN = ("occurred_at", "type", "pk", "sk")


def lag(*, json_: Json = False) -> None:
    """Show the age of the oldest unpublished row, and the parked rows.

    Exit code 1 if any row is parked.

    Example: `celeriac --stage prod outbox lag`
    """
    load()
    oldest, parked = unpublished.lag()
    age = (datetime.now(UTC) - oldest).total_seconds() if oldest is not None else 0.0
    rows = [row for row, _ in zip((plain(row) or {} for row in unpublished.parked()), range(MOST_PARKED), strict=False)]
    shown = [{name: row.get(name, "") for name in (*SHOWN, "reason")} for row in rows]
    if json_:
        typer.echo(json.dumps({"unpublished_age_seconds": round(age, 3), "parked": parked, "oldest_parked": shown}))
    else:
        say(f"unpublished for {age:.0f} s at most" if oldest is not None else "nothing is unpublished")
        say(f"{parked} parked{', the oldest' if parked > len(shown) else ''}")
        for row in shown:
            say(f"\n{'  '.join(line(str(row[name])) for name in SHOWN)}")
            say(f"  {row['reason']}")
    if parked:
        raise typer.Exit(FAILED)
