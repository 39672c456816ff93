"""Options that choose delayed tasks."""

from typing import Annotated

import typer

from celeriac_console.application.by_name import queue_names, task_names

OfTask = Annotated[str | None, typer.Option("--task", help="Only this task.", autocompletion=task_names)]
OfQueue = Annotated[
    str | None, typer.Option("--queue", help="Only tasks that will be sent to this queue.", autocompletion=queue_names)
]
From = Annotated[
    str | None, typer.Option("--from", help="Only tasks that are due from then on: in 2h, or at 2026-11-22T03:00.")
]
Until = Annotated[
    str | None, typer.Option("--until", help="Only tasks that are due before then: in 2h, or at 2026-11-22T03:00.")
]
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME...",
        help="The schedules' names, as `celeriac delayed list` shows them. Before its first run, a task can also be "
        "named by its reference or id.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, but do nothing.")]
