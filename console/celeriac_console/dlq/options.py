"""Options that choose dead letters, and the file of an export."""

from pathlib import Path
from typing import Annotated

import typer

from celeriac_console.application.by_name import task_names

OfTask = Annotated[str | None, typer.Option("--task", help="Only letters of this task.", autocompletion=task_names)]
OfError = Annotated[
    str | None, typer.Option("--error", help="Only letters whose error, reason or fingerprint contains this.")
]
Since = Annotated[str | None, typer.Option(help="Only letters that died since then: 2h, or 2026-11-22T03:00.")]
Until = Annotated[str | None, typer.Option(help="Only letters that died before then: 2h, or 2026-11-22T03:00.")]
Contains = Annotated[str | None, typer.Option(help="Only letters whose body contains this text.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most this many letters.")]
File = Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="A file with one dead letter per line.")]
