"""Rows of the outbox, published again, page by page."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import batched, groupby
from typing import Any

from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.enqueue.outbox_row import EventRow, TaskRow, read_all
from celeriac.model import names, settings
from celeriac.model.queue import Queue
from celeriac.relay.mark import mark
from celeriac.relay.publish import Left, publish

PAGE = 100
"""How many rows are read, and published, at once."""
COUNTS = ("found", "published", "parked", "failed", "malformed", "expired")
"""What a replay counts. `expired`: rows that are left out, because their tasks may run a second time."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Which rows are published again, and where to. The tasks must be loaded."""

    type: str
    """The rows' type, or a pattern such as `order.*`. The type of a task's row is `task:NAME`."""
    after: datetime
    """Only rows that occurred since then."""
    to: str | None = None
    """Only to this task, which must be registered. None: to all."""
    even_expired: bool = False
    """Also rows so old that a task may run a second time."""

    def run(self, *, dry: bool) -> Iterator[Counter[str]]:
        """Publish the rows, in the order of the commits within each aggregate. Yields the counts after each page.

        Who stops reading stops the replay: the pages before are published. It ends after a page with failed rows,
        because later ones must not overtake them.

        dry: count the rows, send nothing.
        """
        counts = Counter(dict.fromkeys(COUNTS, 0))
        for some in batched(_in_order(self.type, self.after), PAGE):
            self._publish(some, counts, dry=dry)
            yield counts
            if counts["failed"]:
                return
        yield counts

    def _publish(self, items: tuple[Any, ...], counts: Counter[str], *, dry: bool) -> None:
        rows, malformed = read_all(items)
        counts["found"] += len(rows)
        counts["malformed"] += len(malformed)
        wanted = [row for row in rows if self.to is None or isinstance(row, EventRow)]
        sent = [row for row in wanted if self.even_expired or not _may_run_again(row, self.to)]
        counts["expired"] += len(wanted) - len(sent)
        if dry:
            return
        published = publish(sent, to=self.to, again=True)
        if self.to is None:
            mark(published.done, published.parked, published.left, published.unclaimed)
        else:
            # A row that still waits, or is parked, remembers it.
            mark((), (), [Left(row, row.sent_to | {self.to}) for row in published.done if row.published_at is None])
        counts["published"] += len(published.done) + len(published.unclaimed)
        counts["parked"] += len(published.parked)
        counts["failed"] += len(published.failed)


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
