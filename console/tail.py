"""`celeriac tail`: the structured logs of a stage as they are written, readable."""

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from celeriac import names, registry, settings
from console import known
from console.clients import client
from console.duration import duration
from console.options import Json

STYLES = {"ERROR": "red", "WARNING": "yellow"}
# Fields that are shown in their own place, or say nothing to a reader.
PLACED = frozenset({"level", "timestamp", "message", "task", "id", "queue", "location", "service", "xray_trace_id"})
POLL_SECONDS = 2
# CloudWatch takes its time until a line can be found.
OVERLAP_MILLISECONDS = 15_000


def tail(
    queue: Annotated[str | None, typer.Argument(help="Only this queue's consumer.")] = None,
    *,
    since: Annotated[str, typer.Option(help="How far to go back first: 90s, 5m, 2h.")] = "1m",
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on until Ctrl-C.")] = True,
    json_: Json = False,
) -> None:
    """The logs of consumers, relay and sweeper, a line for each attempt of a task.

    Example: celeriac tail payments --since 10m
    """
    known.load()
    stage = settings.stage()
    functions = (
        [known.queue(queue).function_name(stage)]
        if queue is not None
        else [
            *(each.function_name(stage) for each in registry.queues().values()),
            names.relay_function(stage),
            names.sweeper_function(stage),
        ]
    )
    console = Console(highlight=False, soft_wrap=True)
    start = int((datetime.now(UTC) - duration(since)).timestamp() * 1000)
    seen: set[tuple[str, int, str]] = set()
    while True:
        now = int(time.time() * 1000)
        for event in sorted(_events(functions, start), key=lambda event: event["timestamp"]):
            line = (event["logStreamName"], event["timestamp"], event["message"])
            if line not in seen:
                seen.add(line)
                _show(console, event["message"], json_=json_)
        if not follow:
            return
        start = max(start, now - OVERLAP_MILLISECONDS)
        seen = {line for line in seen if line[1] >= start}
        time.sleep(POLL_SECONDS)


def _events(functions: list[str], start: int) -> list[Any]:
    logs = client("logs")
    found: list[Any] = []
    for function in functions:
        try:
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws/lambda/{function}", startTime=start
            )
            found += [event for page in pages for event in page["events"]]
        except logs.exceptions.ResourceNotFoundException:
            continue  # it hasn't run yet, or isn't deployed: `doctor` tells
    return found


def _show(console: Console, text: str, *, json_: bool) -> None:
    try:
        line: Any = json.loads(text)
    except ValueError:
        return  # Lambda's own START, END and REPORT
    if not isinstance(line, dict) or "message" not in line:
        return  # metrics
    if json_:
        typer.echo(json.dumps(line))
        return
    rest = " ".join(f"{name}={value}" for name, value in line.items() if name not in PLACED and value != "")
    place = " ".join(str(line[name]) for name in ("queue", "task", "id") if line.get(name))
    time_ = str(line.get("timestamp", ""))[11:23]
    console.print(f"{time_} {place} {line['message']} {rest}", style=STYLES.get(line.get("level", "")), markup=False)
