"""The lines of the activity, in the stage's idempotency table.

The table is found by its whole key only, so the lines are numbered: a counter gives the next number, and the newest
lines are read by their numbers. A number that was given and not written is a gap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from celeriac.aws.client import client
from celeriac.aws.items import plain
from celeriac.model import names, settings

COUNTER = "celeriac#activity"
KEPT = timedelta(days=400)
"""A line is kept a little longer than a year."""
MOST = 100
"""The most lines of a read: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""


@dataclass(frozen=True, slots=True)
class Line:
    """An action of an operator."""

    number: int
    who: str
    what: str
    """The action, as the command line calls it: `dlq redrive`."""
    where: Mapping[str, str]
    """What it was done to: names, ids and filters. Never arguments of a task."""
    begun_at: datetime
    ended_at: datetime | None = None
    """None while it goes on; also for ever, if the page was stopped in the middle."""
    count: int | None = None
    """How many it was done to."""
    outcome: str = ""
    """How it ended, in a few words."""


def begin(who: str, what: str, where: Mapping[str, str]) -> int:
    """Write a line, before anything is done. Returns its number. Raises AWS's errors: then nothing may be done."""
    dynamodb, table = client("dynamodb"), _table()
    answer = dynamodb.update_item(
        TableName=table,
        Key={"id": {"S": COUNTER}},
        UpdateExpression="ADD #lines :one",
        ExpressionAttributeNames={"#lines": "lines"},
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="UPDATED_NEW",
    )
    number, now = int(answer["Attributes"]["lines"]["N"]), datetime.now(UTC)
    dynamodb.put_item(
        TableName=table,
        Item={
            "id": {"S": _id(number)},
            "who": {"S": who},
            "what": {"S": what},
            "where": {"S": msgspec.json.encode(dict(where)).decode()},
            "begun_at": {"S": now.isoformat()},
            "expiration": {"N": str(int((now + KEPT).timestamp()))},
        },
    )
    return number


def end(number: int, count: int | None, outcome: str) -> None:
    """Add how it ended."""
    values: dict[str, Any] = {":at": {"S": datetime.now(UTC).isoformat()}, ":outcome": {"S": outcome}}
    if count is not None:
        values[":count"] = {"N": str(count)}
    client("dynamodb").update_item(
        TableName=_table(),
        Key={"id": {"S": _id(number)}},
        UpdateExpression="SET ended_at = :at, outcome = :outcome" + (", counted = :count" if count is not None else ""),
        ExpressionAttributeValues=values,
    )


def read(before: int | None = None, most: int = MOST) -> list[Line]:
    """The newest lines, the newest first.

    before: only lines with a smaller number, for a next page.
    """
    newest = last() if before is None else before - 1
    numbers = range(newest, max(0, newest - min(most, MOST)), -1)
    if not numbers:
        return []
    keys: Any = [{"id": {"S": _id(number)}} for number in numbers]
    found: list[Line] = []
    while keys:
        answer = client("dynamodb").batch_get_item(RequestItems={_table(): {"Keys": keys}})
        found += [_line(plain(item) or {}) for item in answer["Responses"].get(_table(), [])]
        unread: Any = answer.get("UnprocessedKeys", {})
        keys = unread.get(_table(), {}).get("Keys", [])
    return sorted(found, key=lambda line: -line.number)


def last() -> int:
    """The newest number that was given; 0 if there is none."""
    answer = client("dynamodb").get_item(TableName=_table(), Key={"id": {"S": COUNTER}}, ConsistentRead=True)
    return int(answer.get("Item", {}).get("lines", {}).get("N", 0))


def _line(item: Mapping[str, Any]) -> Line:
    ended = item.get("ended_at")
    return Line(
        int(str(item["id"]).rpartition("#")[2]),
        item["who"],
        item["what"],
        msgspec.json.decode(item["where"], type=dict[str, str]),
        datetime.fromisoformat(item["begun_at"]),
        datetime.fromisoformat(ended) if ended is not None else None,
        int(item["counted"]) if "counted" in item else None,
        item.get("outcome", ""),
    )


def _id(number: int) -> str:
    return f"{COUNTER}#{number}"


def _table() -> str:
    return names.idempotency_table(settings.stage())
