"""Options and arguments that many commands share."""

from typing import Annotated

import typer

from celeriac_console.application.by_name import queue_names, task_names
from celeriac_console.rate import rate_of

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
QueueName = Annotated[str, typer.Argument(help="The queue's name in tasks/queues.py.", autocompletion=queue_names)]
TaskName = Annotated[str, typer.Argument(help="The task's name.", autocompletion=task_names)]
PerSecond = Annotated[
    float | None, typer.Option("--rate", parser=rate_of, metavar="N/s", help="At most this many per second.")
]
