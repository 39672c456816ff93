"""`celeriac status`: what has become of a task."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from celeriac import lease, names, registry, settings
from celeriac.aws import client
from celeriac.handle import Handle, Status
from celeriac.message import Message
from console import known
from console.mistakes import PROBLEM
from console.options import Json


def status(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The task's id; or its key, where its task declares one.")],
    *,
    task: Annotated[str | None, typer.Option(help="The task's name, to look for nothing else.")] = None,
    search: Annotated[
        bool, typer.Option("--search", help="Read the whole table for an id whose key isn't known.")
    ] = False,
    json_: Json = False,
) -> None:
    """What has become of a task: running, retrying, succeeded or dead. Exit code 1 where it is dead or unknown.

    Example: celeriac status 0198f3c2-7a44-7bd1-a1c5-2f4b8f6f7a11
    """
    registry.load()
    wanted = [known.task(task)] if task is not None else [t for _, t in sorted(registry.tasks.items())]
    found: list[tuple[str, Status]] = []
    for one in wanted:
        if one.delivery == "at_least_once":
            continue
        key = one.key_of({}, Message(id=id_, task=one.name, key=id_))
        record = lease.look_up(one.name, key, one.queue.record_retention)
        if record:
            found.append((one.name, Handle(record.get("task_id", id_), key, one).status()))
    if not found and search:
        found = _searched(id_)
    if json_:
        typer.echo(json.dumps([{"task": name} | _plain(status) for name, status in found]))
    elif not found:
        typer.secho(
            f"nothing is remembered of {id_!r}: it may be waiting still (celeriac queues), of an at_least_once "
            "task, or of one with a key: give the key instead of the id, or --search",
            err=True,
        )
    console = Console(highlight=False, soft_wrap=True)
    for name, status in found if not json_ else []:
        console.print(f"{name}: {status.state}, {status.attempts} attempts", markup=False, style="bold")
        if status.result is not None:
            console.print(json.dumps(status.result, indent=2, ensure_ascii=False), markup=False)
        if status.failure is not None:
            console.print(f"{status.failure.type}: {status.failure.message}", markup=False)
    if not found or any(status.state == "dead" for _, status in found):
        raise typer.Exit(PROBLEM)


def _searched(id_: str) -> list[tuple[str, Status]]:
    """By reading the table from end to end."""
    pages = (
        client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=names.idempotency_table(settings.stage()),
            FilterExpression="task_id = :id",
            ExpressionAttributeValues={":id": {"S": id_}},
        )
    )
    found = []
    for page in pages:
        for item in page["Items"]:
            name, _, _ = item["id"]["S"].rpartition("#")
            state = item["status"]["S"]
            expired = float(item["in_progress_expiration"]["N"]) / 1000 < datetime.now(UTC).timestamp()
            running = {lease.COMPLETED: "succeeded", lease.DEAD: "dead", lease.RETRYING: "retrying"}.get(state)
            found.append((name, Status(running or ("retrying" if expired else "running"), int(item["attempt"]["N"]))))  # type: ignore[arg-type]  # as above
    return found


def _plain(status: Status) -> dict[str, Any]:
    failure = status.failure
    return {
        "state": status.state,
        "attempts": status.attempts,
        "result": status.result,
        "error": f"{failure.type}: {failure.message}" if failure is not None else None,
    }
