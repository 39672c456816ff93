"""The index of breakers that are open. Only they have its attributes, so it is empty as long as nothing fails."""

from datetime import datetime
from typing import Any, NamedTuple

from celeriac.aws.client import client
from celeriac.flow import rows
from celeriac.flow.breaker import DUE, DUE_AT, SHARDS
from celeriac.flow.rows import Refused, Write
from celeriac.model import names

MOST_LISTED = 1_000
"""So many of a shard are listed. With a `by`, an outage may open one for each value."""


class Open(NamedTuple):
    """A breaker in the index: open, or half-open since `due_at`."""

    key: str
    due_at: str

    @property
    def limit(self) -> str:
        """The breaker's name."""
        return self.key.removeprefix(rows.LIMIT).rpartition("#")[0]

    @property
    def until(self) -> datetime:
        """Until when it is open."""
        return datetime.fromisoformat(self.due_at)


def shards() -> list[str]:
    """The partition keys of the index."""
    return [f"{DUE}-{number}" for number in range(SHARDS)]


def listed(shard: str) -> list[Open]:
    """The breakers of a shard, those that are open for the longest time first. Raises AWS's errors."""
    request: dict[str, Any] = {
        "KeyConditionExpression": f"{DUE} = :shard",
        "ExpressionAttributeValues": {":shard": {"S": shard}},
        "ScanIndexForward": False,
        "Limit": MOST_LISTED,
    }
    answer = client("dynamodb").query(TableName=rows.table(), IndexName=names.flow_index(), **request)
    return [Open(item[rows.KEY]["S"], item[DUE_AT]["S"]) for item in answer["Items"]]


def leave(breaker: Open) -> bool:
    """Take a breaker out of the index, unless it has opened again. It stays half-open. Raises AWS's errors."""
    write = Write(f"{DUE_AT} = :due_at", {":due_at": breaker.due_at}, removes=[DUE, DUE_AT])
    return not isinstance(rows.update(breaker.key, write), Refused)
