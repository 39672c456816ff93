"""Which aggregates the relay has left to the sweeper, so that no later row of theirs overtakes.

The relay notes an aggregate when it leaves one of its rows behind. While the note is there, the relay leaves all
further rows of the aggregate to the sweeper too. The sweeper publishes them in the order of the commits, and frees the
aggregate after the last one. The notes are in the idempotency table: an item in the outbox would come back through the
outbox's stream.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any

from celeriac.aws import refusals
from celeriac.aws.client import client, error_code
from celeriac.enqueue.outbox_row import WAITING, EventRow, OutboxRow, TaskRow
from celeriac.model import names, settings
from celeriac.model.failure import error_type
from celeriac.observe.log import logger
from celeriac.relay import unpublished

PREFIX = "celeriac#held#"
# A note that nobody deleted, because no row of its aggregate came any more.
EXPIRES_AFTER = timedelta(days=30)
FREED_AFTER = timedelta(hours=1)
MOST_KEYS = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html; a transaction takes as many."""
MOST_TRIES = 8


def look(
    aggregates: Collection[str], rows: Iterable[OutboxRow] = ()
) -> tuple[dict[str, str], dict[tuple[str, str], Any]]:
    """Which of the aggregates are held, each with the instant of its last row that was left; and the rows' items now.

    Strongly consistent, in one call for 100 of both.
    """
    stage = settings.stage()
    notes, outbox = names.idempotency_table(stage), names.outbox_table(stage)
    keys: list[tuple[str, Any]] = [(notes, {"id": {"S": PREFIX + each}}) for each in sorted(set(aggregates))]
    keys += [(outbox, {"pk": {"S": pk}, "sk": {"S": sk}}) for pk, sk in sorted({(row.pk, row.sk) for row in rows})]
    held: dict[str, str] = {}
    items: dict[tuple[str, str], Any] = {}
    for some in batched(keys, MOST_KEYS):
        for table, item in _get(some):
            if table == notes and "last" in item:
                held[item["id"]["S"].removeprefix(PREFIX)] = item["last"]["S"]
            elif table == outbox:
                items[item["pk"]["S"], item["sk"]["S"]] = item
    return held, items


def _get(keys: Sequence[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    wanted: Any = {}
    for table, key in keys:
        wanted.setdefault(table, {"Keys": [], "ConsistentRead": True})["Keys"].append(key)
    for attempt in range(1, MOST_TRIES + 1):
        answer = client("dynamodb").batch_get_item(RequestItems=wanted)
        for table, items in answer["Responses"].items():
            yield from ((table, item) for item in items)
        # One answer holds at most 16 MB: the rest is asked for again.
        wanted = answer.get("UnprocessedKeys")
        if not wanted:
            return
        refusals.wait(min(attempt, 5))
    raise TimeoutError("DynamoDB left keys unread")


def is_waiting(item: Mapping[str, Any] | None) -> bool:
    """Whether the row with this item must still be published."""
    return item is not None and item.get(WAITING, {}).get("S", "").startswith("shard-")


def behind_another(rows: Sequence[EventRow | TaskRow]) -> set[str]:
    """The aggregates of these rows of which an earlier row must still be published."""
    earlier = list(unpublished.before(rows)) if rows else []
    if not earlier:
        return set()
    _, items = look((), earlier)
    return {pk for (pk, _), item in items.items() if is_waiting(item)}


def hold(rows: Sequence[OutboxRow], held: Mapping[str, str], *, tries: int = MOST_TRIES) -> set[str]:
    """Note the aggregates of rows that are left to the sweeper. Returns the aggregates for which that failed."""
    last: dict[str, str] = {}
    for row in rows:
        last[row.pk] = max(last.get(row.pk, held.get(row.pk, "")), stamp(row))
    wanted = {pk: at for pk, at in last.items() if held.get(pk) != at}
    failed: set[str] = set()
    for some in batched(wanted.items(), MOST_KEYS):
        writes: Any = [_update(pk, "SET #last = :last, expiration = :expires", at, EXPIRES_AFTER) for pk, at in some]
        if not _insist(writes, tries):
            failed |= {pk for pk, _ in some}
    return failed


def _update(pk: str, expression: str, last: str, kept: timedelta, condition: str = "") -> Any:
    expires = int((datetime.now(UTC) + kept).timestamp())
    used = {":last": {"S": last}} if ":last" in expression + condition else {}
    update = {
        "TableName": names.idempotency_table(settings.stage()),
        "Key": {"id": {"S": PREFIX + pk}},
        "UpdateExpression": expression,
        "ExpressionAttributeNames": {"#last": "last"},
        "ExpressionAttributeValues": {":expires": {"N": str(expires)}} | used,
    }
    return {"Update": update | ({"ConditionExpression": condition} if condition else {})}


def _insist(writes: Any, tries: int) -> bool:
    for attempt in range(1, tries + 1):
        try:
            client("dynamodb").transact_write_items(TransactItems=writes)
        except Exception as error:  # noqa: BLE001 - whatever it is, Lambda delivers the rows again
            logger.warning("aggregates not held", extra={"count": len(writes), "error": error_type(error)})
            if attempt == tries or not error_code(error):
                return False  # without an answer, a call has taken a good part of the time that is left
            refusals.wait(attempt)
        else:
            return True
    return False


def release(swept: Mapping[str, str], held: Mapping[str, str]) -> None:
    """Undo the notes of aggregates that are swept up to the last row that was left.

    swept: the aggregates, each with the instant of its last row that was published.
    """
    dynamodb = client("dynamodb")
    for pk, at in swept.items():
        if held.get(pk, "~") > at:
            continue
        freed = _update(pk, "SET expiration = :expires REMOVE #last", at, FREED_AFTER, "#last <= :last")
        try:
            dynamodb.update_item(**freed["Update"])
        except dynamodb.exceptions.ConditionalCheckFailedException:
            continue  # the relay has left another row of it meanwhile
        except Exception as error:  # noqa: BLE001 - the note stays: the next row of the aggregate is swept too
            logger.warning("aggregate not released", extra={"error": error_type(error)})


def stamp(row: OutboxRow) -> str:
    """When the row occurred, as a text that sorts by time."""
    return row.occurred_at.astimezone(UTC).isoformat(timespec="microseconds")
