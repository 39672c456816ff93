"""The relay: it publishes new rows of the outbox as the table's stream delivers them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from celeriac.aws.client import calls_end_by
from celeriac.enqueue.outbox_row import EventRow, MalformedRowError, TaskRow, read
from celeriac.model.failure import error_type
from celeriac.observe.log import logger
from celeriac.relay import held, memory
from celeriac.relay.mark import mark
from celeriac.relay.parcels import may_be_in_order
from celeriac.relay.publish import Left, publish
from celeriac.relay.stream_record import StreamRecord, new_rows
from celeriac.relay.unclaimed import count_unclaimed
from celeriac.relay.unpublished import STRANDED_AFTER

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

type Row = EventRow | TaskRow

# Time kept at the end for the answer.
MARGIN = timedelta(seconds=1)


def handler(event: Mapping[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Publish a batch of stream records. Leave to the sweeper what can't be published now.

    The stream goes on in any case. So no row waits for a queue that isn't its own, and none is sent again because
    another one failed. The answer names a record only if its row has an order that couldn't be noted: Lambda then
    delivers that record again, and all records behind it.
    """
    with calls_end_by(datetime.now(UTC) + timedelta(milliseconds=context.get_remaining_time_in_millis()) - MARGIN):
        return _publish(event)


def _publish(event: Mapping[str, Any]) -> "PartialItemFailureResponse":
    records = [record for record in new_rows(event) if record.id not in memory.worker.finished]
    malformed = [record.malformed for record in records if record.malformed is not None]
    rows, held_back, notes = _to_publish(records)
    published = publish(rows)
    left = [*published.left, *(Left(row, row.sent_to) for row in held_back)]
    unheld = held.hold([each.row for each in left if may_be_in_order(each.row, each.sent_to)], notes)
    unwritten = mark(published.done, [*malformed, *published.parked], left, published.unclaimed)
    # An unclaimed event without its mark is looked at again: a release that subscribes to it may have come.
    memory.worker.note_marks((row.sk for row in published.done), unwritten)
    count_unclaimed(len(published.unclaimed))
    failed = {each.row.sk for each in left if each.row.pk in unheld}
    again = [record.sequence for record in records if record.id in failed]
    if again:
        memory.worker.note_redelivery({record.id for record in records} - failed, failed)
    return {"batchItemFailures": [{"itemIdentifier": sequence} for sequence in again[:1]]}


def _to_publish(records: Sequence[StreamRecord]) -> tuple[list[Row], list[Row], Mapping[str, str]]:
    """The rows to publish, those that wait behind others of their aggregate, and the notes of held aggregates.

    A row that is older than a minute may have been published by the sweeper, or by a relay that died. So it is read
    again, like a row that Lambda delivers again.
    """
    rows = [record.row for record in records if record.row is not None]
    again = memory.worker.unnoted
    old = [
        record.row
        for record in records
        if record.row is not None and (record.age > STRANDED_AFTER or record.id in again)
    ]
    in_order = set(_in_order(rows))
    if not (in_order or old):
        return rows, [], {}
    try:
        notes, items = held.look(in_order, old)
        notes |= dict.fromkeys(
            # The stream may have given up on an earlier row, which nobody noted.
            held.behind_another([row for row in old if row.pk in in_order and row.pk not in notes]),
            "",
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, rows without an order don't wait for it
        logger.error("outbox not read", extra={"error": error_type(error)})
        notes, items = dict.fromkeys(in_order, ""), {(row.pk, row.sk): None for row in old}
    else:
        gone = {row.sk for row in old if not held.is_waiting(items.get((row.pk, row.sk)))}
        rows = [_now(row, items) for row in rows if row.sk not in gone]
    rows = _as_committed(rows)
    return (
        [row for row in rows if row.pk not in notes],
        [row for row in rows if row.pk in notes],
        notes,
    )


def _in_order(rows: Iterable[Row]) -> Iterable[str]:
    """The aggregates that may have an order."""
    known: dict[object, bool] = {}  # most rows of a batch are of few types
    for row in rows:
        if row.is_alone:
            continue
        kind = row.type, row.queue if isinstance(row, TaskRow) else row.subscribers
        if kind not in known:
            known[kind] = may_be_in_order(row)
        if known[kind]:
            yield row.pk


def _now(row: Row, items: Mapping[tuple[str, str], Any]) -> Row:
    """The row as it is now, if it was read again."""
    with suppress(KeyError, MalformedRowError):
        return read(items[row.pk, row.sk])
    return row


def _as_committed(rows: Sequence[Row]) -> list[Row]:
    """The rows, with those of an aggregate in the order of their commits.

    The stream keeps the order of commits, but not that of the rows of one transaction.
    """
    aggregates: dict[str, list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        if row.ordered:
            aggregates[row.pk].append(position)
    found = list(rows)
    for positions in aggregates.values():
        by_commit = sorted((rows[position] for position in positions), key=lambda row: (row.occurred_at, row.sk))
        for position, row in zip(positions, by_commit, strict=True):
            found[position] = row
    return found
