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
from celeriac.enqueue.outbox_row import EventRow, read_all
from celeriac.model import names, settings
from celeriac.relay.mark import mark
from celeriac.relay.publish import publish
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
            "--type", help="The rows' type, or a pattern such as 'order.*'. A task's row has the task's name as type."
        ),
    ],
    since: Annotated[str, typer.Option(help="How far to go back: 90s, 5m, 2h or 7d.")],
    to: Annotated[str | None, typer.Option(help="Only to this task, for example a new one.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows, send nothing.")] = False,
    json_: Json = False,
) -> None:
    """Publish rows of the outbox again, also parked ones, in the order of the commits within each aggregate.

    The messages get the same ids as before. A task that has succeeded with a message skips it. A task that is dead
    stays dead until its dead letter is redriven.

    Example: `celeriac outbox replay --type order.created --since 2h --to send_invoice`
    """
    load()
    if to is not None:
        by_name.task(to)
    after = datetime.now(UTC) - duration(since)
    counts: Counter[str] = Counter()
    for some in batched(_in_order(type_, after), PAGE, strict=False):
        rows, malformed = read_all(some)
        counts["found"] += len(rows)
        counts["malformed"] += len(malformed)
        if dry_run:
            continue
        published = publish([row for row in rows if to is None or isinstance(row, EventRow)], to=to, again=True)
        if to is None:
            mark(published.done, published.parked, unclaimed=published.unclaimed)
        counts["published"] += len(published.done) + len(published.unclaimed)
        counts["parked"] += len(published.parked)
        counts["failed"] += len(published.failed)
        if published.failed:
            break  # later rows must not overtake those that failed
    names_ = ("found", "published", "parked", "failed", "malformed")
    if json_:
        typer.echo(json.dumps({name: counts[name] for name in names_}))
    else:
        what = f"{counted(counts['found'], 'row')} of {type_}"
        say(f"{what} since {after:%Y-%m-%d %H:%M:%S}Z" + (", a dry run" * dry_run))
        if not dry_run:
            say(", ".join(f"{counts[name]} {name}" for name in names_[1:]))
    if counts["failed"]:
        unsent = counted(counts["failed"], "row")
        raise UserError(f"{unsent} could not be sent. Run the same command again: it sends all rows once more")
    if counts["parked"] or counts["malformed"]:
        raise typer.Exit(FAILED)


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
