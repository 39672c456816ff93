"""`celeriac queues`: print every queue with its messages, its consumer and its alarm."""

import json
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from celeriac.model import settings
from celeriac_console.application.loading import load
from celeriac_console.options import Json
from celeriac_console.queues.rows import NOT_DEPLOYED, read_rows
from celeriac_console.queues.table import table
from celeriac_console.stage.deployed import stages
from celeriac_console.terminal.errors import FAILED, UserError
from celeriac_console.terminal.screen import Screen, say

WATCH_SECONDS = 2


def queues(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every two seconds, until Ctrl-C.")] = False,
    json_: Json = False,
) -> None:
    """Show every queue: its messages, its tasks in schedules, its consumer and its alarm.

    `delayed` is what SQS delays, by up to 15 minutes. `scheduled` is what waits longer, counted up to 1,000.
    `oldest` is the age of the oldest message. `limits` are those of its tasks, with about how many wait for each, also
    from other queues: `celeriac limits` tells more.

    Exit code 1 if there is a dead letter, a consumer that is off, or a queue that isn't deployed.

    Example: celeriac --stage prod queues --watch
    """
    load()
    if watch and json_:
        raise UserError("--watch is for people, --json for scripts: choose one")
    if watch:
        _watch()
    rows = read_rows()
    if json_:
        typer.echo(json.dumps(rows))
    else:
        screen = Screen()
        screen.print(table(rows, screen))
        if all(row["consumer"] == NOT_DEPLOYED for row in rows):
            say(f"Nothing of the stage {settings.stage()} is deployed.{stages()}", stderr=True)
    if any(row["dead"] or row["consumer"] != "on" for row in rows):
        raise typer.Exit(FAILED)


def _watch() -> None:
    """Refresh the table without end.

    A file or a pipe gets one table after the other. When the reader of a pipe has closed it, writing raises an error.
    """
    screen = Screen()
    if not screen.is_terminal:
        while True:
            screen.print(table(read_rows(), screen))
            screen.print(f"{datetime.now(UTC):%H:%M:%S}Z\n")
            screen.file.flush()
            time.sleep(WATCH_SECONDS)
    with Live(table(read_rows(), screen), console=screen, refresh_per_second=4, screen=False) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(Group(table(read_rows(), screen), Text(f"{datetime.now(UTC):%H:%M:%S}Z")))
