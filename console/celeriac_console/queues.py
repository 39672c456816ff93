"""`celeriac queues`: how many messages each queue holds, how old they are, and whether its consumer is on."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from celeriac.aws import sqs
from celeriac.aws.sqs import counts
from celeriac.declare import registry
from celeriac.model import settings
from celeriac.model.queue import Queue
from celeriac_console import known
from celeriac_console.clients import client
from celeriac_console.options import Json
from celeriac_console.pause import mapping_of
from celeriac_console.queue_table import NOT_DEPLOYED, table
from celeriac_console.terminal.errors import PROBLEM, UserError, stages
from celeriac_console.terminal.screen import Screen, say

COUNTS = {"waiting": "", "delayed": "Delayed", "in_flight": "NotVisible"}
WATCH_SECONDS = 2


def queues(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every two seconds, until Ctrl-C.")] = False,
    json_: Json = False,
) -> None:
    """Show every queue: messages waiting, delayed, in flight and dead, the oldest message, the consumer and the alarm.

    Exit code 1 if there is a dead letter, a consumer that is off, or a queue that isn't deployed.

    Example: celeriac --stage prod queues --watch
    """
    known.load()
    if watch and json_:
        raise UserError("--watch is for people, --json for scripts: choose one")
    if watch:
        _watch()
    rows = _rows()
    if json_:
        typer.echo(json.dumps(rows))
    else:
        screen = Screen()
        screen.print(table(rows, screen))
        if all(row["consumer"] == NOT_DEPLOYED for row in rows):
            say(f"Nothing of the stage {settings.stage()} is deployed.{stages()}", stderr=True)
    if any(row["dead"] or row["consumer"] != "on" for row in rows):
        raise typer.Exit(PROBLEM)


def _watch() -> None:
    """Refresh the table without end.

    A file or a pipe gets one table after the other. When the reader of a pipe has closed it, writing raises an error.
    """
    screen = Screen()
    if not screen.is_terminal:
        while True:
            screen.print(table(_rows(), screen))
            screen.print(f"{datetime.now(UTC):%H:%M:%S}Z\n")
            screen.file.flush()
            time.sleep(WATCH_SECONDS)
    with Live(table(_rows(), screen), console=screen, refresh_per_second=4, screen=False) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(Group(table(_rows(), screen), Text(f"{datetime.now(UTC):%H:%M:%S}Z")))


def _rows() -> list[dict[str, Any]]:
    declared = list(registry.queues().values())
    with ThreadPoolExecutor(max(1, len(declared))) as pool:
        return list(pool.map(_row, declared))


def _row(queue: Queue) -> dict[str, Any]:
    stage = settings.stage()
    try:
        there = counts(sqs.url(queue.physical_name(stage)))
        dead = counts(sqs.url(queue.dead_letter_name(stage)))
    except sqs.NoSuchQueueError:
        nothing = dict.fromkeys([*COUNTS, "dead", "oldest_seconds"])
        return {"queue": queue.name, **nothing, "consumer": NOT_DEPLOYED, "alarm": "none"}
    mapping = mapping_of(queue)
    state = mapping.get("State", "unknown").lower() if mapping is not None else "none"
    return {
        "queue": queue.name,
        **{count: there[f"ApproximateNumberOfMessages{kind}"] for count, kind in COUNTS.items()},
        "dead": sum(dead.values()),
        "oldest_seconds": _oldest(queue.physical_name(stage)),
        "consumer": "on" if state in {"enabled", "enabling", "updating"} else "paused" if "disabl" in state else state,
        "alarm": _alarm(queue.dead_letter_name(stage)),
    }


def _oldest(name: str) -> int | None:
    """The age of the oldest message in seconds, as CloudWatch last measured it; None if there is no data."""
    now = datetime.now(UTC)
    answer = client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": name}],
        StartTime=now - timedelta(minutes=10),
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )
    points = sorted(answer.get("Datapoints", []), key=lambda point: point["Timestamp"])
    return int(points[-1]["Maximum"]) if points else None


def _alarm(name: str) -> str:
    alarms = client("cloudwatch").describe_alarms(AlarmNames=[name]).get("MetricAlarms", [])
    return {"OK": "ok", "ALARM": "ALARM"}.get(alarms[0]["StateValue"], "no data") if alarms else "none"
