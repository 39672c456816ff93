"""Marks rows of the outbox: published, with an expiry; parked, with the reason; left for a later try; unclaimed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from celeriac.aws.client import client, error_code
from celeriac.aws.refusals import is_of_entry
from celeriac.enqueue.outbox_row import PARKED, UNCLAIMED, WAITING, OutboxRow
from celeriac.model import declared, names, settings
from celeriac.model.failure import error_type
from celeriac.observe.log import logger
from celeriac.relay.publish import Left

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html: 100 actions, and 4 MB with
# the rows that they change.
MOST_MARKS = 100
MOST_BYTES = 3_000_000
# The most characters of a reason: a row must have room for it.
MOST_REASON = 400
# DynamoDB takes 2,048 bytes in a partition key.
MOST_TYPE_BYTES = 1_000
# What only a waiting row or a parked one has.
ONLY_UNPUBLISHED = "reason, sent_to, left_at, parked_at"


def mark(
    published: Sequence[OutboxRow],
    parked: Sequence[tuple[OutboxRow, str]],
    left: Sequence[Left] = (),
    unclaimed: Sequence[OutboxRow] = (),
) -> set[str]:
    """Mark each row as published, parked, left for a later try, or unclaimed.

    A row that was deleted meanwhile stays deleted. Returns the ids of the rows whose mark couldn't be written. The
    sweeper finds such a row.

    A parked row keeps what has been known of it: where it has arrived, or when it was first published.
    """
    now = datetime.now(UTC)
    expiry = str(int((now + declared.outbox().retention).timestamp()))
    kept: dict[str, Any] = {":now": {"S": now.isoformat()}, ":expiry": {"N": expiry}}
    # What a replay sends is a duplicate, and renews no record: the first time counts.
    is_published = "SET published_at = if_not_exists(published_at, :now), expires_at = :expiry"
    marks = [
        (row, _update(row, f"{is_published} REMOVE {WAITING}, {ONLY_UNPUBLISHED}", kept))
        for row in [*published, *(row for row in unclaimed if not _can_be_claimed(row))]
    ]
    marks += [
        (
            row,
            _update(
                row,
                f"{is_published}, {WAITING} = :unclaimed REMOVE {ONLY_UNPUBLISHED}",
                kept | {":unclaimed": {"S": UNCLAIMED + row.type}},
            ),
        )
        for row in unclaimed
        if _can_be_claimed(row)
    ]
    for row, reason in parked:
        text = reason[:MOST_REASON].encode(errors="replace").decode()
        values: dict[str, Any] = {":parked": {"S": PARKED}, ":reason": {"S": text}, ":now": kept[":now"]}
        # A parked row must not expire, even if it was published to other subscribers before.
        expression = f"SET {WAITING} = :parked, reason = :reason, parked_at = :now REMOVE expires_at, left_at"
        if row.sent_to:
            expression += " ADD sent_to :sent_to"
            values[":sent_to"] = {"SS": sorted(row.sent_to)}
        marks.append((row, _update(row, expression, values)))
    marks += [(each.row, _leave(each, now)) for each in left if _is_news(each)]
    unwritten: set[str] = set()
    for some in _batches(marks):
        unwritten |= _write(some)
    return unwritten


def _can_be_claimed(row: OutboxRow) -> bool:
    return len(row.type.encode(errors="surrogatepass")) <= MOST_TYPE_BYTES


def _is_news(left: Left) -> bool:
    """Whether the row doesn't say yet what there is to say: a row that fails each minute isn't written each minute."""
    return (bool(left.why) and left.row.left_at is None) or left.sent_to > left.row.sent_to


def _leave(left: Left, now: datetime) -> "TransactWriteItemTypeDef":
    values: dict[str, Any] = {":now": {"S": now.isoformat()}}
    expression = "SET left_at = if_not_exists(left_at, :now)"
    if left.sent_to:
        expression += " ADD sent_to :sent_to"
        values[":sent_to"] = {"SS": sorted(left.sent_to)}
    # A row that was published meanwhile stays as it is.
    return _update(left.row, expression, values, f"attribute_exists({WAITING}) AND attribute_not_exists(published_at)")


def _update(
    row: OutboxRow, expression: str, values: dict[str, Any], condition: str = "attribute_exists(pk)"
) -> "TransactWriteItemTypeDef":
    return {
        "Update": {
            "TableName": names.outbox_table(settings.stage()),
            "Key": {"pk": {"S": row.pk}, "sk": {"S": row.sk}},
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }
    }


type _Mark = tuple[OutboxRow, "TransactWriteItemTypeDef"]


def _batches(marks: Sequence[_Mark]) -> Iterator[list[_Mark]]:
    batch: list[_Mark] = []
    size = 0
    for one in marks:
        if batch and (len(batch) == MOST_MARKS or size + one[0].bytes > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one[0].bytes
    if batch:
        yield batch


def _write(marks: Sequence[_Mark]) -> set[str]:
    """Write marks. Returns the ids of the rows for which that failed and may succeed later."""
    dynamodb = client("dynamodb")
    unwritten: set[str] = set()
    while marks:
        try:
            dynamodb.transact_write_items(TransactItems=[update for _, update in marks])
        except dynamodb.exceptions.TransactionCanceledException as canceled:
            codes = [reason.get("Code") for reason in canceled.response.get("CancellationReasons", [])]
            # A row that was deleted, or that the sweeper is marking too, must not stop the marking of the others.
            by_code = list(zip(marks, codes, strict=False))
            free = [mark for mark, code in by_code if code == "None"]
            unwritten |= {mark[0].sk for mark, code in by_code if code not in {"None", "ConditionalCheckFailed"}}
            if len(free) == len(marks) or not codes:
                return unwritten | {row.sk for row, _ in marks}
            marks = free
            continue
        except dynamodb.exceptions.ClientError as refused:
            # A row that can't be marked must not stop the marking of the others.
            if len(marks) > 1 and is_of_entry(refused):
                middle = len(marks) // 2
                return unwritten | _write(marks[:middle]) | _write(marks[middle:])
            logger.error(
                "rows not marked", extra={"id": marks[0][0].sk, "count": len(marks), "error": error_code(refused)}
            )
            unwritten |= {row.sk for row, _ in marks}
        except Exception as error:  # noqa: BLE001 - unmarked rows are published again, as duplicates
            logger.warning("rows not marked", extra={"count": len(marks), "error": error_type(error)})
            unwritten |= {row.sk for row, _ in marks}
        return unwritten
    return unwritten
