"""`celeriac queues`: how much waits where, since when, and whether anybody takes it."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from celeriac import registry, settings, sqs
from celeriac.queue import Queue
from celeriac.sqs import counts
from console.clients import client
from console.consumers import mapping_of
from console.duration import words
from console.mistakes import PROBLEM, Mistake
from console.options import Json

COUNTS = {"waiting": "", "delayed": "Delayed", "in_flight": "NotVisible"}
WATCH_SECONDS = 2


def queues(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds, until Ctrl-C.")] = False,
    json_: Json = False,
) -> None:
    """Every queue: what waits, is delayed, in flight and dead, its oldest message, its consumer and its alarm.

    Exit code 1 where anything is dead, or a consumer is off. Example: celeriac --stage prod queues --watch
    """
    registry.load()
    if watch and json_:
        raise Mistake("--watch is for people, --json for scripts: choose one")
    if watch:
        with Live(_table(_rows()), refresh_per_second=4, screen=False) as live:
            while True:
                time.sleep(WATCH_SECONDS)
                live.update(Group(_table(_rows()), Text(f"{datetime.now(UTC):%H:%M:%S}Z")))
    rows = _rows()
    if json_:
        typer.echo(json.dumps(rows))
    else:
        Console().print(_table(rows))
    if any(row["dead"] or row["consumer"] != "on" for row in rows):
        raise typer.Exit(PROBLEM)


def _rows() -> list[dict[str, Any]]:
    known = list(registry.queues().values())
    with ThreadPoolExecutor(max(1, len(known))) as pool:
        return list(pool.map(_row, known))


def _row(queue: Queue) -> dict[str, Any]:
    stage = settings.stage()
    there = counts(sqs.url(queue.physical_name(stage)))
    dead = counts(sqs.url(queue.dead_letter_name(stage)))
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
    """The age of the oldest message, as CloudWatch last saw it; None where it says nothing."""
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


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(*(name.replace("_seconds", "").replace("_", " ") for name in rows[0]) if rows else "queue")
    for row in rows:
        style = "red" if row["dead"] or row["consumer"] != "on" else None
        age = row["oldest_seconds"]
        shown = row | {"oldest_seconds": "" if age is None else words(timedelta(seconds=age))}
        table.add_row(*map(str, shown.values()), style=style)
    return table
