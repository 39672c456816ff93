"""`celeriac outbox replay`: publish rows of the outbox again."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from celeriac_console.application import by_name
from celeriac_console.application.loading import load
from celeriac_console.options import Json, PerSecond
from celeriac_console.outbox.replay import COUNTS, Replay, Replaying
from celeriac_console.terminal.errors import FAILED, UserError
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.times import duration


def replay(
    type_: Annotated[
        str,
        typer.Option(
            "--type", help="The rows' type, or a pattern such as 'order.*'. The type of a task's row is 'task:NAME'."
        ),
    ],
    since: Annotated[str, typer.Option(help="How far to go back: 90s, 5m, 2h or 7d.")],
    to: Annotated[str | None, typer.Option(help="Only to this task, for example a new one.")] = None,
    *,
    even_expired: Annotated[
        bool,
        typer.Option("--even-expired", help="Also rows so old that a task may run a second time."),
    ] = False,
    rate: PerSecond = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows, send nothing.")] = False,
    json_: Json = False,
) -> None:
    """Publish rows of the outbox again, also parked ones, in the order of the commits within each aggregate.

    The messages get the same ids as before. A task that has succeeded with a message skips it, as long as its record is
    kept; an at_least_once task keeps none, and runs again. A task that is dead stays dead until its dead letter is
    redriven. A row that is parked is sent only to those that haven't got it, unless `--to` names one.

    Rows that were published so long ago that a record may have expired are left out and counted; the exit code is 1.
    `--even-expired` sends them too: their tasks run a second time, unless they are new and never got them.

    Example: `celeriac outbox replay --type order.created --since 2h --to send_invoice`
    """
    load()
    if to is not None:
        by_name.task(to)
    after = datetime.now(UTC) - duration(since)
    going = Replaying(Replay(type_, after, to, even_expired), dry=dry_run, rate=rate)
    for _ in going.pages():
        pass
    counts = going.counts
    if json_:
        typer.echo(json.dumps({name: counts[name] for name in COUNTS}))
    else:
        what = f"{counted(counts['found'], 'row')} of {type_}"
        say(f"{what} since {after:%Y-%m-%d %H:%M:%S}Z" + (", a dry run" * dry_run))
        if not dry_run:
            say(", ".join(f"{counts[name]} {name}" for name in COUNTS[1:5]))
        if not counts["found"]:
            by_name.warn_of_row(type_)
        if counts["expired"]:
            say(
                f"{counted(counts['expired'], 'row')} left out: published so long ago that the tasks' records may have "
                "expired, so the tasks would run a second time. To send them too, add --even-expired"
            )
    if counts["failed"]:
        unsent = counted(counts["failed"], "row")
        raise UserError(f"{unsent} could not be sent. Run the same command again: it sends all rows once more")
    if counts["parked"] or counts["malformed"] or counts["expired"]:
        raise typer.Exit(FAILED)
