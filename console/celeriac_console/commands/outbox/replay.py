"""`celeriac outbox replay`: publish rows of the outbox again."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import batched, groupby
from typing import Annotated, Any

import typer

from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.enqueue.outbox_row import EventRow, TaskRow, read_all
from celeriac.model import names, settings
from celeriac.model.queue import Queue
from celeriac.relay.mark import mark
from celeriac.relay.publish import Left, publish
from celeriac_console.application import by_name
from celeriac_console.application.loading import load
from celeriac_console.options import Json
from celeriac_console.terminal.errors import FAILED, UserError
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.times import duration

PAGE = 100
"""How many rows are read, and published, at once."""


def replay(
    type_: Annotated[
        str,
        typer.Option(
            "--type", help="The rows' type, or a pattern such as 'order.*'. The type of a task's row is 'task:NAME'."
        ),
    ],
    since: Annotated[str, typer.Option(help="How far to go back: 90s, 5m, 2h or 7d.")],
    to: Annotated[str | None, typer.Option(help="Only to this task, for example a new one.")] = None,
    *,
    even_expired: Annotated[
        bool,
        typer.Option("--even-expired", help="Also rows so old that a task may run a second time."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows, send nothing.")] = False,
    json_: Json = False,
) -> None:
    """Publish rows of the outbox again, also parked ones, in the order of the commits within each aggregate.

    The messages get the same ids as before. A task that has succeeded with a message skips it, as long as its record is
    kept; an at_least_once task keeps none, and runs again. A task that is dead stays dead until its dead letter is
    redriven. A row that is parked is sent only to those that haven't got it, unless `--to` names one.

    Rows that were published so long ago that a record may have expired are left out and counted; the exit code is 1.
    `--even-expired` sends them too: their tasks run a second time, unless they are new and never got them.

    Example: `celeriac outbox replay --type order.created --since 2h --to send_invoice`
    """
    load()
    if to is not None:
        by_name.task(to)
    after = datetime.now(UTC) - duration(since)
    counts: Counter[str] = Counter()
    for some in batched(_in_order(type_, after), PAGE):
        rows, malformed = read_all(some)
        counts["found"] += len(rows)
        counts["malformed"] += len(malformed)
        wanted = [row for row in rows if to is None or isinstance(row, EventRow)]
        sent = [row for row in wanted if even_expired or not _may_run_again(row, to)]
        counts["expired"] += len(wanted) - len(sent)
        if dry_run:
            continue
        published = publish(sent, to=to, again=True)
        if to is None:
            mark(published.done, published.parked, published.left, published.unclaimed)
        else:
            # A row that still waits, or is parked, remembers it.
            mark((), (), [Left(row, row.sent_to | {to}) for row in published.done if row.published_at is None])
        counts["published"] += len(published.done) + len(published.unclaimed)
        counts["parked"] += len(published.parked)
        counts["failed"] += len(published.failed)
        if published.failed:
            break  # later rows must not overtake those that failed
    names_ = ("found", "published", "parked", "failed", "malformed", "expired")
    if json_:
        typer.echo(json.dumps({name: counts[name] for name in names_}))
    else:
        what = f"{counted(counts['found'], 'row')} of {type_}"
        say(f"{what} since {after:%Y-%m-%d %H:%M:%S}Z" + (", a dry run" * dry_run))
        if not dry_run:
            say(", ".join(f"{counts[name]} {name}" for name in names_[1:5]))
        if not counts["found"]:
            by_name.warn_of_row(type_)
        if counts["expired"]:
            say(
                f"{counted(counts['expired'], 'row')} left out: published so long ago that the tasks' records may have "
                "expired, so the tasks would run a second time. To send them too, add --even-expired"
            )
    if counts["failed"]:
        unsent = counted(counts["failed"], "row")
        raise UserError(f"{unsent} could not be sent. Run the same command again: it sends all rows once more")
    if counts["parked"] or counts["malformed"] or counts["expired"]:
        raise typer.Exit(FAILED)


def _may_run_again(row: EventRow | TaskRow, to: str | None) -> bool:
    """Whether a task that has succeeded with the row would run a second time: its record may have expired.

    A record begins when its task first runs. It must still be there when the new message has waited in its queue.
    """
    if row.published_at is None:
        return False  # whoever has it isn't sent to
    age = datetime.now(UTC) - max(row.published_at, row.due_at or row.published_at)
    return any(age > queue.record_retention - queue.retention for queue in _with_records(row, to))


def _with_records(row: EventRow | TaskRow, to: str | None) -> Iterator[Queue]:
    """The queues of the row's tasks that keep a record."""
    if isinstance(row, TaskRow):
        own = registry.tasks.get(row.type.removeprefix("task:"))
        tasks = [own] if own is not None else []
    else:
        tasks = registry.subscribers(row.type) if to is None else [registry.tasks[to]]
    yield from (each.queue for each in tasks if each.guarantee != "at_least_once")


def _in_order(type_: str, after: datetime) -> Iterator[Any]:
    """The rows that match. Rows of one aggregate are in the order of their commits.

    Reads the whole table. A scan returns the rows of an aggregate together, since they are one partition, but in the
    order of their ids. So the rows of one aggregate are in memory at once.
    """
    for _, aggregate in groupby(_scanned(type_, after), key=lambda item: item["pk"]["S"]):
        yield from sorted(aggregate, key=lambda item: (_text(item, "occurred_at"), item["sk"]["S"]))


def _scanned(type_: str, after: datetime) -> Iterator[Any]:
    pages = (
        client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=names.outbox_table(settings.stage()),
            FilterExpression="occurred_at >= :after",
            ExpressionAttributeValues={":after": {"S": after.isoformat(timespec="microseconds")}},
            PaginationConfig={"PageSize": PAGE},
        )
    )
    for page in pages:
        yield from (item for item in page["Items"] if fnmatchcase(_text(item, "type"), type_))


def _text(item: Any, name: str) -> str:
    return str(item.get(name, {}).get("S", ""))
