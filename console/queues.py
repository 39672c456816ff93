"""`celeriac queues`: how much waits where."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from celeriac import registry, settings, sqs
from celeriac.aws import client

COUNTS = {"waiting": "", "delayed": "Delayed", "in_flight": "NotVisible"}


def queues(
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Every queue: how many messages wait, are delayed, in flight, dead.

    Example: `celeriac --stage prod queues`
    """
    registry.load()
    rows = [
        {"queue": queue.name}
        | _counts(queue.physical_name(settings.stage()))
        | {"dead": _counts(queue.dead_letter_name(settings.stage()))["waiting"]}
        for queue in registry.queues().values()
    ]
    if json_:
        typer.echo(json.dumps(rows))
        return
    table = Table(*(name.replace("_", " ") for name in rows[0]) if rows else "queue")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


def _counts(name: str) -> dict[str, str | int]:
    answer: Any = client("sqs").get_queue_attributes(QueueUrl=sqs.url(name), AttributeNames=["All"])
    return {count: int(answer["Attributes"][f"ApproximateNumberOfMessages{kind}"]) for count, kind in COUNTS.items()}
