"""`celeriac tail`: follow the logs of a stage in a readable form."""

import json
import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from celeriac.declare import registry
from celeriac.model import names, settings
from celeriac_console.application import by_name
from celeriac_console.application.loading import load
from celeriac_console.options import Json
from celeriac_console.tail.events import read_events
from celeriac_console.tail.lines import RAISED_FIELDS, read
from celeriac_console.tail.unfinished import UnfinishedRuns
from celeriac_console.terminal.text import printable
from celeriac_console.terminal.times import duration

STYLES = {"CRITICAL": "red", "ERROR": "red", "WARNING": "yellow"}
# Fields that are printed in a fixed place, or are of no use to a reader.
PLACED = frozenset(
    {"task", "id", "attempt", "queue", "location", "service", "xray_trace_id", "trace", "logger"}
    | {"exception_name", "stack_trace", "error_message", *RAISED_FIELDS}
)
ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
POLL_SECONDS = 2
# A query of CloudWatch finds a new line only after some time. So each poll reads this much again.
OVERLAP_MILLISECONDS = 15_000


def tail(
    queue: Annotated[str | None, typer.Argument(help="Only this queue's consumer.")] = None,
    *,
    since: Annotated[str, typer.Option(help="How far back to start: 90s, 5m, 2h.")] = "1m",
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Follow the logs until Ctrl-C.")] = True,
    json_: Json = False,
) -> None:
    """Show the logs of consumers, relay and sweeper: output of tasks, a line for each attempt, and workers that died.

    Example: celeriac tail payments --since 10m
    """
    load()
    stage = settings.stage()
    queues = {each.name: each.function_name(stage) for each in registry.queues().values()}
    if queue is not None:
        functions = {by_name.queue(queue).function_name(stage): queue}
    else:
        functions = {function: name for name, function in queues.items()}
        functions |= {names.relay_function(stage): "relay", names.sweeper_function(stage): "sweeper"}
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    start = int((datetime.now(UTC) - duration(since)).timestamp() * 1000)
    seen: set[tuple[Any, ...]] = set()
    runs = UnfinishedRuns()
    while True:
        now = int(time.time() * 1000)
        for key, event in read_events(functions, start):
            if key not in seen:
                seen.add(key)
                _show(console, event, runs, json_=json_)
        if not follow:
            return
        start = max(start, now - OVERLAP_MILLISECONDS)
        seen = {key for key in seen if key[1] >= start}
        time.sleep(POLL_SECONDS)


def _show(console: Console, event: dict[str, Any], runs: UnfinishedRuns, *, json_: bool) -> None:
    line = read(event["message"])
    if line is None:
        return
    stream, written = event["logStreamName"], datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    runs.follow(stream, line)
    fields = {"queue": event["queue"], **line.fields}
    if line.is_death and (lost := runs.lost(stream)):
        fields["unfinished"] = lost
    # JSON that a task prints may have a timestamp in any format.
    timestamp = line.timestamp if ISO.match(line.timestamp) else written.isoformat(timespec="milliseconds")
    if json_:
        message = f"{line.message}\n{line.more}" if line.is_death and line.more else line.message
        typer.echo(json.dumps({"level": line.level, "message": message, "timestamp": timestamp, **fields}))
        return
    place = " ".join(str(fields[name]) for name in ("queue", "task", "id") if fields.get(name))
    attempt = f" attempt {fields['attempt']}" if fields.get("attempt") else ""
    # The request id of printed output is left out here. --json has it.
    placed = PLACED | {"request_id"} if "logger" in fields else PLACED
    rest = " ".join(f"{name}={value}" for name, value in fields.items() if name not in placed and value != "")
    message, *more = [*line.message.split("\n"), *line.more.splitlines()]
    text = f"{timestamp[11:23]} {place}{attempt} {message} {rest}".rstrip()
    text = "\n    ".join([text, *more])
    console.print(printable(text), style=STYLES.get(line.level, ""), markup=False)
