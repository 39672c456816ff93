"""`celeriac delayed list`: print tasks that wait in schedules."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from celeriac_console.application import by_name
from celeriac_console.application.by_name import queue_names
from celeriac_console.delayed.filter import filter_of
from celeriac_console.delayed.options import From, OfTask, Until
from celeriac_console.delayed.page import read
from celeriac_console.delayed.waiting import Waiting
from celeriac_console.options import Json
from celeriac_console.terminal.next_steps import same_command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.text import line

_COLUMNS = ("name", "task", "id", "queue", "due", "attempt")


def list_delayed(
    queue: Annotated[str | None, typer.Argument(help="Only tasks of this queue.", autocompletion=queue_names)] = None,
    *,
    task: OfTask = None,
    from_: From = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many tasks.")] = 100,
    page: Annotated[str, typer.Option(help="Go on where a list before has ended: it prints this command.")] = "",
    json_: Json = False,
) -> None:
    """Show tasks that wait in one-time schedules: those that were delayed by more than 15 minutes, and such retries.

    The times are UTC. A task is sent at its time or up to a minute later. Scheduler's order is not that of the times.

    Example: celeriac delayed list reports --until 2h
    """
    prefix = f"{by_name.queue(queue).name}." if queue is not None else ""
    wanted = filter_of(task, from_, until)
    by_name.warn_of_task(task)
    listed = read(prefix, wanted, limit, page)
    if json_:
        typer.echo(json.dumps({"tasks": [one.as_json() for one in listed.tasks], "next": listed.next}))
        return
    _show(listed.tasks)
    if listed.next is not None:
        say(f"next: {same_command(**wanted.absolute(), page=listed.next)}", stderr=True)


def _show(tasks: Sequence[Waiting]) -> None:
    if not tasks:
        say(counted(0, "delayed task"))
        return
    rows = [_row(one) for one in tasks]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for number, row in enumerate([_COLUMNS, *rows]):
        text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        say(text, style="bold" if number == 0 else None)
    for one in tasks:
        if one.problem:
            say(line(f"{one.name}: {one.problem}"), style="yellow", stderr=True)


def _row(one: Waiting) -> tuple[str, ...]:
    due = f"{one.due:%Y-%m-%d %H:%M:%SZ}" if one.due is not None else "-"
    task = one.task or "(unreadable)"
    attempt = str(one.message.attempt) if one.message is not None else "-"
    return tuple(line(cell) for cell in (one.name, task, one.id or "-", one.queue or "-", due, attempt))
