"""The sweeper: every minute it publishes the rows that the relay has left behind, in the same way."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from celeriac.aws.client import calls_end_by
from celeriac.enqueue.outbox_row import EventRow, OutboxRow, TaskRow, read_all
from celeriac.model.failure import error_place, error_type
from celeriac.observe.log import logger
from celeriac.relay import delayed, held, memory, unpublished
from celeriac.relay.count_breakers import count_breakers
from celeriac.relay.mark import mark
from celeriac.relay.measure import measure_outbox, measure_removed_queues
from celeriac.relay.parcels import may_be_in_order
from celeriac.relay.publish import Left, publish
from celeriac.relay.sweep_batches import sweep_batches
from celeriac.relay.unclaimed import claim, count_unclaimed
from celeriac.relay.unpublished import STRANDED_AFTER

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SWEEP = timedelta(seconds=50)
"""After this time no page is begun: the next sweep begins a minute after this one."""
# Time kept at the end to mark the published rows.
MARGIN = timedelta(seconds=10)


def handler(event: object, context: "LambdaContext") -> dict[str, int]:  # noqa: ARG001 - Lambda's signature
    """Measure the unpublished rows, publish those left behind, in order within each aggregate, count delayed tasks and
    open breakers, and end batches whose producer has died.

    Each minute another shard comes first, and each shard gets an equal part of the time that is left. The relay may run
    at the same time: both send messages with the same ids.
    """
    begun = datetime.now(UTC)
    ends_at = begun + timedelta(milliseconds=context.get_remaining_time_in_millis())
    with calls_end_by(ends_at):
        return _sweep(begun, begun + min(SWEEP, ends_at - begun - MARGIN))


def _sweep(begun: datetime, until: datetime) -> dict[str, int]:
    measured = measure_outbox()  # first, because the metrics must show a sweep that hangs or dies
    count_breakers()
    sweep_batches(begun + (until - begun) / 4)
    _claim(begun + (until - begun) / 2)
    published = 0
    shards = unpublished.shards()
    first = int(begun.timestamp() // 60) % len(shards)
    for done, shard in enumerate(shards[first:] + shards[:first]):
        now = datetime.now(UTC)
        its_end = now + (until - now) / (len(shards) - done)
        try:
            published += _Sweep(shard).run(its_end, with_future=done == 0)
        except Exception as error:  # noqa: BLE001 - an error in one shard must not stop the others
            logger.error("shard not swept", extra={"error": error_type(error), "where": error_place(error)})
    if datetime.now(UTC) < until:
        measure_removed_queues()
    return {"published": published, **measured, **(delayed.measure(begun, until) if datetime.now(UTC) < until else {})}


class _Sweep:
    """One sweep of a shard."""

    def __init__(self, shard: str) -> None:
        self._shard = shard
        place = memory.worker.places.pop(shard, memory.Place())
        self._start = place.key
        self._blocked = set(place.blocked)
        """Aggregates that wait for an earlier row. The next sweep tries again."""
        self._unsettled = set(place.unsettled)
        """Aggregates of which some row is still not published."""
        self._published = 0

    def run(self, until: datetime, *, with_future: bool) -> int:
        """Publish the rows left behind. Returns how many were published.

        A sweep that runs out of time is continued by the next one: the first rows may be such as can't be published for
        hours.
        """
        before = datetime.now(UTC) - STRANDED_AFTER
        for page, after in unpublished.unpublished(self._shard, before, self._start):
            if datetime.now(UTC) > until:
                place = memory.Place(self._start, frozenset(self._blocked), frozenset(self._unsettled))
                memory.worker.places[self._shard] = place
                return self._published
            self._publish(page)
            self._start = after
        if with_future:
            # The rows of senders whose clock is ahead.
            for page, _ in unpublished.ahead(self._shard, after=datetime.now(UTC) + STRANDED_AFTER):
                # The relay may have left a row that was committed before them and is too young to be swept.
                in_order = [row for row in read_all(page)[0] if may_be_in_order(row)]
                self._blocked |= held.behind_another(in_order)
                self._publish(page)
        return self._published

    def _publish(self, page: Sequence[unpublished.Row]) -> None:
        found, malformed = read_all(page)
        rows = sorted((row for row in found if row.pk not in self._blocked), key=lambda row: (row.occurred_at, row.sk))
        if not (rows or malformed):
            return
        swept = publish(rows)
        unwritten = mark(swept.done, [*malformed, *swept.parked], swept.left, swept.unclaimed)
        memory.worker.note_marks((row.sk for row in swept.done), unwritten)
        count_unclaimed(len(swept.unclaimed))
        self._published += len(swept.done)
        self._blocked |= {left.row.pk for left in swept.left if _blocks(left)}
        self._unsettled |= {left.row.pk for left in swept.left} | {row.pk for row in rows if row.sk in unwritten}
        self._hold([left.row for left in swept.left if may_be_in_order(left.row, left.sent_to)])
        self._release(rows)

    def _hold(self, rows: Sequence[OutboxRow]) -> None:
        """Note aggregates that the relay couldn't note, because it didn't get their rows or couldn't write."""
        if rows:
            notes, _ = held.look({row.pk for row in rows})
            held.hold(rows, notes, tries=1)  # the next sweep tries again

    def _release(self, rows: Sequence[EventRow | TaskRow]) -> None:
        settled = {row.pk: held.stamp(row) for row in rows if row.pk not in self._unsettled and not row.is_alone}
        in_order = {row.pk for row in rows if row.pk in settled and may_be_in_order(row)}
        if in_order:
            notes, _ = held.look(in_order)
            held.release({pk: settled[pk] for pk in notes}, notes)


def _blocks(left: Left) -> bool:
    """Whether later rows of the aggregate must wait. They don't wait for a subscriber that is still to come."""
    return may_be_in_order(left.row, left.sent_to, unknown=False)


def _claim(until: datetime) -> None:
    try:
        claim(until)
    except Exception as error:  # noqa: BLE001 - the next sweep looks again; this one has rows of its own
        logger.error("unclaimed events not looked for", extra={"error": error_type(error), "where": error_place(error)})
