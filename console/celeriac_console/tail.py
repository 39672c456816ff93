"""`celeriac tail`: follow the logs of a stage in a readable form."""

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from celeriac.declare import registry
from celeriac.model import names, settings
from celeriac_console import known
from celeriac_console.clients import client
from celeriac_console.log_lines import RAISED_FIELDS, Line, read
from celeriac_console.options import Json
from celeriac_console.terminal.duration import duration
from celeriac_console.terminal.text import printable

STYLES = {"CRITICAL": "red", "ERROR": "red", "WARNING": "yellow"}
# Fields that are printed in a fixed place, or are of no use to a reader.
PLACED = frozenset(
    {"task", "id", "attempt", "queue", "location", "service", "xray_trace_id", "trace", "logger"}
    | {"exception_name", "stack_trace", "error_message", *RAISED_FIELDS}
)
ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
POLL_SECONDS = 2
# CloudWatch needs some time before a query finds a new line, so each poll reads this much again.
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
    known.load()
    stage = settings.stage()
    queues = {each.name: each.function_name(stage) for each in registry.queues().values()}
    if queue is not None:
        functions = {known.queue(queue).function_name(stage): queue}
    else:
        functions = {function: name for name, function in queues.items()}
        functions |= {names.relay_function(stage): "relay", names.sweeper_function(stage): "sweeper"}
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    start = int((datetime.now(UTC) - duration(since)).timestamp() * 1000)
    seen: set[tuple[Any, ...]] = set()
    runs = Runs()
    while True:
        now = int(time.time() * 1000)
        for key, event in _events(functions, start):
            if key not in seen:
                seen.add(key)
                _show(console, event, runs, json_=json_)
        if not follow:
            return
        start = max(start, now - OVERLAP_MILLISECONDS)
        seen = {key for key in seen if key[1] >= start}
        time.sleep(POLL_SECONDS)


class Runs:
    """The unfinished runs of each worker: those that have logged a line, but not yet their outcome."""

    def __init__(self) -> None:
        self._of: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def follow(self, stream: str, line: Line) -> None:
        """Note a line of the worker that writes to `stream`."""
        run = f"{line.fields.get('task')} {line.fields.get('id')}"
        if "outcome" in line.fields:
            self._of[stream].pop(run, None)
        elif {"task", "id", "attempt"} <= line.fields.keys():
            self._of[stream][run] = None

    def lost(self, stream: str) -> str:
        """The unfinished runs of a worker that died. They are returned once and then forgotten."""
        return ", ".join(self._of.pop(stream, ()))


def _events(functions: dict[str, str], start: int) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each event with a key that is unique to it, in order of time. Equal lines of one instant are separate events."""
    logs = client("logs")
    found: list[Any] = []
    for function, queue in functions.items():
        try:
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws/lambda/{function}", startTime=start
            )
            found += [{"queue": queue, **event} for page in pages for event in page["events"]]
        except logs.exceptions.ResourceNotFoundException:
            continue  # the function hasn't run yet, or isn't deployed, which `doctor` shows
    equal: Counter[tuple[Any, ...]] = Counter()
    for event in sorted(found, key=lambda event: event["timestamp"]):
        key = (event["logStreamName"], event["timestamp"], event["message"])
        equal[key] += 1
        yield (*key, equal[key]), event


def _show(console: Console, event: dict[str, Any], runs: Runs, *, json_: bool) -> None:
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
