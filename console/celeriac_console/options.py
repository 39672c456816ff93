"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from celeriac_console.known import queue_names, task_names

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
QueueName = Annotated[str, typer.Argument(help="The queue's name in tasks/queues.py.", autocompletion=queue_names)]
AnyQueueName = Annotated[
    str | None, typer.Argument(metavar="QUEUE", help="The queue; if left out, all queues.", autocompletion=queue_names)
]
OfTask = Annotated[str | None, typer.Option("--task", help="Only letters of this task.", autocompletion=task_names)]
OfError = Annotated[
    str | None, typer.Option("--error", help="Only letters whose error, reason or fingerprint contains this.")
]
Since = Annotated[str | None, typer.Option(help="Only letters that died since then: 2h, or 2026-11-22T03:00.")]
Until = Annotated[str | None, typer.Option(help="Only letters that died before then: 2h, or 2026-11-22T03:00.")]
Contains = Annotated[str | None, typer.Option(help="Only letters whose body contains this text.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most this many letters.")]
File = Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="A file with one dead letter per line.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
