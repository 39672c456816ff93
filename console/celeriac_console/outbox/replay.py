"""Rows of the outbox, published again, page by page."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from celeriac.relay import memory
from celeriac.relay.mark import mark
from celeriac.relay.publish import Left, publish
from celeriac_console.rate import Rate

PAGE = 100
"""How many rows are read, and published, at once."""
LONGEST_WAIT = 5
"""Seconds. Of a slow replay, a page has so few rows that it doesn't wait longer for its turn."""
COUNTS = ("found", "published", "parked", "failed", "malformed", "expired")
"""What a replay counts. `expired`: rows that are left out, because their tasks may run a second time."""
MOST_TYPES = 50
"""Rows of further types are counted together."""
OTHERS = "others"


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


class Replaying:
    """A replay on its way. It may be left after each page, or by an error, and goes on with the rows behind it.

    The rows are published in the order of the commits within each aggregate.
    """

    def __init__(self, replay: Replay, *, dry: bool, rate: float | None = None) -> None:
        """Prepare it.

        dry: count the rows, send nothing. rate: rows a second; None for no limit.
        """
        self.replay, self.dry = replay, dry
        self.counts = Counter(dict.fromkeys(COUNTS, 0))
        self.unmarked = 0
        """Published rows that couldn't be marked as such: one that was parked still looks so."""
        self.types: Counter[str] = Counter()
        """The rows that were found, by their types."""
        self._pace = Rate(rate)
        self._page = max(1, min(PAGE, int(rate * LONGEST_WAIT))) if rate else PAGE
        self._place = _Place()
        self._done = self.counts
        """The counts without the rows that failed: they are tried again."""

    def pages(self) -> Iterator[None]:
        """Publish the rows, beginning behind those that are done. Yields after each page.

        Who stops reading interrupts the replay, and may call this again: the rows are read anew then, and those that
        are done aren't published once more. If an error is raised, those of its page are. It ends after a page with
        failed rows, because later ones must not overtake them; called again, it tries them again.
        """
        memory.worker.out_of_reach.clear()  # whoever asks for a replay has a reason to try now
        for some in batched(self._place.left(_in_order(self.replay, self._place.begin)), self._page):
            counts, failed = self._published(some)
            self.counts = _sum(self._done, counts)
            if failed:
                self._place.skip(item for item in some if item["sk"]["S"] not in failed)
                self._done = _sum(self._done, counts | {"found": counts["found"] - len(failed), "failed": 0})
                yield
                return
            self._place.pass_by(some)
            self._done = self.counts
            yield

    def _published(self, items: Sequence[Any]) -> tuple[Counter[str], set[str]]:
        """The counts of a page, once it is published; and the ids of the rows that failed."""
        to, counts = self.replay.to, Counter(dict.fromkeys(COUNTS, 0))
        rows, malformed = read_all(items)
        wanted = [row for row in rows if to is None or isinstance(row, EventRow)]
        sent = [row for row in wanted if self.replay.even_expired or not _may_run_again(row, to)]
        counts.update(found=len(rows), malformed=len(malformed), expired=len(wanted) - len(sent))
        self._count_types(row.type for row in rows)
        if self.dry:
            return counts, set()
        self._pace.wait(len(sent))
        published = publish(sent, to=to, again=True)
        if to is None:
            unmarked = mark(published.done, published.parked, published.left, published.unclaimed)
        else:
            # A row that still waits, or is parked, remembers it.
            left = [Left(row, row.sent_to | {to}) for row in published.done if row.published_at is None]
            unmarked = mark((), (), left)
        failed = {row.sk for row in published.failed}
        self.unmarked += len(unmarked - failed)
        counts["published"] = len(published.done) + len(published.unclaimed)
        counts["parked"] = len(published.parked)
        counts["failed"] = len(failed)
        return counts, failed

    def _count_types(self, types: Iterable[str]) -> None:
        counts = self.types.copy()  # another thread may look at it
        for one in types:
            counts[one if one in counts or len(counts) < MOST_TYPES else OTHERS] += 1
        self.types = counts


class _Place:
    """How far a replay is: the aggregates that are done, and the rows that are done of the one at hand."""

    def __init__(self) -> None:
        self.begin: dict[str, Any] | None = None
        """A scan that begins behind this key finds what isn't done. None: nothing is."""
        self._aggregate = ""
        self._done: set[str] = set()
        self._skipped: set[str] = set()

    def left(self, items: Iterator[Any]) -> Iterator[Any]:
        """The rows of a scan that aren't done."""
        return (item for item in items if not self._is_done(item["pk"]["S"], item["sk"]["S"]))

    def _is_done(self, aggregate: str, id_: str) -> bool:
        return (aggregate == self._aggregate and id_ in self._done) or id_ in self._skipped

    def skip(self, items: Iterable[Any]) -> None:
        """These rows of a page are done. Those between them aren't, so the place stays before the page."""
        self._skipped |= {item["sk"]["S"] for item in items}

    def pass_by(self, items: Sequence[Any]) -> None:
        """These rows are done, with all before them."""
        for item in items:
            aggregate, id_ = item["pk"]["S"], item["sk"]["S"]
            if aggregate != self._aggregate:
                if self._done:
                    self.begin = {"pk": {"S": self._aggregate}, "sk": {"S": max(self._done)}}
                self._aggregate, self._done = aggregate, set()
            self._done.add(id_)


def _sum(some: Mapping[str, int], more: Mapping[str, int]) -> Counter[str]:
    """New counts, because another thread may look at the old ones."""
    return Counter({name: some[name] + more[name] for name in COUNTS})


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


def _in_order(replay: Replay, behind: dict[str, Any] | None) -> Iterator[Any]:
    """The rows that match. Rows of one aggregate are in the order of their commits.

    Reads the table from its begin, or from behind a key. A scan returns the rows of an aggregate together, since they
    are one partition, but in the order of their ids. So the rows of one aggregate are in memory at once.
    """
    for _, aggregate in groupby(_scanned(replay, behind), key=lambda item: item["pk"]["S"]):
        yield from sorted(aggregate, key=lambda item: (_text(item, "occurred_at"), item["sk"]["S"]))


def _scanned(replay: Replay, behind: dict[str, Any] | None) -> Iterator[Any]:
    begin: dict[str, Any] = {"ExclusiveStartKey": behind} if behind is not None else {}
    pages = (
        client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=names.outbox_table(settings.stage()),
            FilterExpression="occurred_at >= :after",
            ExpressionAttributeValues={":after": {"S": replay.after.isoformat(timespec="microseconds")}},
            PaginationConfig={"PageSize": PAGE},
            **begin,
        )
    )
    for page in pages:
        yield from (item for item in page["Items"] if fnmatchcase(_text(item, "type"), replay.type))


def _text(item: Any, name: str) -> str:
    return str(item.get(name, {}).get("S", ""))
