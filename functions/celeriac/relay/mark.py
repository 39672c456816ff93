"""Marks rows of the outbox: as published, with an expiry; or as parked, with the reason."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from celeriac.aws.client import client
from celeriac.enqueue.outbox_row import PARKED, WAITING, OutboxRow
from celeriac.model import declared, names, settings
from celeriac.model.failure import error_type
from celeriac.observe.log import logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html: 100 actions, and 4 MB with
# the rows that they change.
MOST_MARKS = 100
MOST_BYTES = 3_000_000
# The most characters of a reason: a row must have room for it.
MOST_REASON = 400


def mark(published: Sequence[OutboxRow], parked: Sequence[tuple[OutboxRow, str]]) -> None:
    """Mark each row as published or parked. A row that was deleted meanwhile stays deleted.

    A row that can't be marked is found by the sweeper and published again, with the same message ids.
    """
    now = datetime.now(UTC)
    kept = {":now": {"S": now.isoformat()}, ":expiry": {"N": str(int((now + declared.outbox().retention).timestamp()))}}
    marks = [
        (row, _update(row, f"SET published_at = :now, expires_at = :expiry REMOVE {WAITING}, reason", kept))
        for row in published
    ]
    for row, reason in parked:
        values = {":parked": {"S": PARKED}, ":reason": {"S": reason[:MOST_REASON]}}
        # A parked event must not expire, even if it was published to other subscribers before.
        expression = f"SET {WAITING} = :parked, reason = :reason REMOVE published_at, expires_at"
        marks.append((row, _update(row, expression, values)))
    for some in _batches(marks):
        _write(some)


def _update(row: OutboxRow, expression: str, values: dict[str, Any]) -> "TransactWriteItemTypeDef":
    return {
        "Update": {
            "TableName": names.outbox_table(settings.stage()),
            "Key": {"pk": {"S": row.pk}, "sk": {"S": row.sk}},
            "UpdateExpression": expression,
            "ConditionExpression": "attribute_exists(pk)",
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


def _write(marks: Sequence[_Mark]) -> None:
    dynamodb = client("dynamodb")
    while marks:
        try:
            dynamodb.transact_write_items(TransactItems=[update for _, update in marks])
        except dynamodb.exceptions.TransactionCanceledException as canceled:
            reasons = canceled.response.get("CancellationReasons", [])
            # A row that was deleted, or that the sweeper is marking too, must not stop the marking of the others.
            free = [mark for mark, reason in zip(marks, reasons, strict=False) if reason.get("Code") == "None"]
            marks = free if len(free) < len(marks) else []
            continue
        except dynamodb.exceptions.ClientError as refused:
            # A row that can't be marked must not stop the marking of the others.
            if len(marks) > 1:
                _write(marks[: len(marks) // 2])
                marks = marks[len(marks) // 2 :]
                continue
            logger.error("event not marked", extra={"id": marks[0][0].sk, "error": error_type(refused)})
        except Exception as error:  # noqa: BLE001 - unmarked events are published again, as duplicates
            logger.warning("events not marked", extra={"count": len(marks), "error": error_type(error)})
        return
