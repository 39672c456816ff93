"""`celeriac runs`: list the runs of a task that have ended."""

from typing import Annotated

import msgspec
import typer

from celeriac.leases.history import ENDED, Ended
from celeriac.leases.runs import MOST_RUNS, NoHistoryError, Run
from celeriac_console.application import by_name
from celeriac_console.application.loading import load
from celeriac_console.options import Json, TaskName
from celeriac_console.runs.table import as_json, table
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import same_command
from celeriac_console.terminal.screen import Screen, say
from celeriac_console.terminal.times import instant


def list_runs(
    task: TaskName,
    *,
    state: Annotated[str | None, typer.Option(help=f"Only runs that ended so: {', '.join(ENDED)}.")] = None,
    since: Annotated[str | None, typer.Option(help="Only runs that ended since then: 2h, or 2026-11-22T03:00.")] = None,
    until: Annotated[str | None, typer.Option(help="Only runs that ended until then.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_RUNS, help="At most so many, the latest ones.")] = 50,
    attempts: Annotated[bool, typer.Option("--attempts", help="Show the last ten attempts of each.")] = False,
    json_: Json = False,
) -> None:
    """List how runs of a task have ended, the latest first. Its queue needs `history=True`.

    There is a row for each key: its last message's. What was cancelled before it ran isn't listed.

    Example: celeriac --stage prod runs charge_card --state dead --since 2h
    """
    load()
    wanted = by_name.task(task)
    after, before = (instant(text) if text is not None else None for text in (since, until))
    try:
        # One more tells where the next page begins.
        more = wanted.runs(state=_ended(state), since=after, until=before, limit=min(limit + 1, MOST_RUNS))
    except NoHistoryError as error:
        raise UserError(str(error)) from error
    found = more[:limit]
    if json_:
        typer.echo(msgspec.json.encode([as_json(run) for run in found]).decode())
    else:
        _show(wanted.name, found, attempts=attempts)
    if len(more) > limit or len(found) == MOST_RUNS:
        # To the millisecond, as it is stored: a whole second would skip what has ended later in it.
        last = more[-1].ended_at.isoformat(timespec="milliseconds")
        say(f"There are earlier ones: {same_command(until=last)}", stderr=True)


def _ended(state: str | None) -> Ended | None:
    for each in ENDED:
        if state == each:
            return each
    if state is not None:
        raise UserError(f"{state!r} is no end of a run: write {', '.join(ENDED)}")
    return None


def _show(task: str, found: list[Run], *, attempts: bool) -> None:
    if not found:
        say(f"no run of {task} is known that ended so")
        return
    screen = Screen()
    screen.print(table(found, screen, attempts=attempts))
