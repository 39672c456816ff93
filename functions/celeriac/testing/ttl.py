"""Deletes items from moto's tables as soon as virtual time has passed their TTL. Moto deletes none.

DynamoDB deletes them within some days, and until then a read returns them. At once is the hardest case.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
"""

import heapq
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple
from unittest.mock import patch

from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.table import Table

# DynamoDB keeps an item whose time is more than five years ago.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-how-to.html
OLDEST_SECONDS = 5 * 365 * 24 * 60 * 60

_put_item = Table.put_item
_update_item = DynamoDBBackend.update_item
_update_time_to_live = DynamoDBBackend.update_time_to_live


class _Due(NamedTuple):
    """An item that was written, and when it expires unless it is written again."""

    at: float
    number: int
    """Decides between items of one instant: moto's keys have no order."""
    account: str
    region: str
    table: str
    key: tuple[Any, Any]


class Expiry:
    """Notes of each write when its item expires, so that nothing needs to look at whole tables.

    It knows the tables for which somebody has called UpdateTimeToLive. An UPDATE in PartiQL escapes it.
    """

    def __init__(self) -> None:
        self._due: list[_Due] = []
        """A heap, the soonest first."""
        self._numbers = count()
        self._looked_at = time.time()

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what is written to moto's tables while the block runs."""

        def put_item(table: Table, *arguments: Any, **named: Any) -> Any:
            item = _put_item(table, *arguments, **named)
            self._note(table, item)
            return item

        def update_item(backend: DynamoDBBackend, table_name: str, *arguments: Any, **named: Any) -> Any:
            item = _update_item(backend, table_name, *arguments, **named)
            self._note(backend.get_table(table_name), item)
            return item

        def update_time_to_live(backend: DynamoDBBackend, table_name: str, ttl_spec: dict[str, Any]) -> None:
            _update_time_to_live(backend, table_name, ttl_spec)
            table = backend.get_table(table_name)
            for item in table.all_items():
                self._note(table, item)

        with (
            patch.object(Table, "put_item", put_item),
            patch.object(DynamoDBBackend, "update_item", update_item),
            patch.object(DynamoDBBackend, "update_time_to_live", update_time_to_live),
        ):
            yield

    def delete_expired(self) -> None:
        """Delete what has expired, if time has moved since the last time. Streams tell of it as of DynamoDB's own."""
        now = time.time()
        if now == self._looked_at:
            return
        self._looked_at = now
        while self._due and self._due[0].at < now:
            due = heapq.heappop(self._due)
            table = dynamodb_backends[due.account][due.region].tables.get(due.table)
            # The item may be gone, or written again: each write has its own entry.
            item = table.get_item(*due.key) if table is not None else None
            if item is not None and _expires_at(table, item) == due.at and due.at >= now - OLDEST_SECONDS:
                _delete(table, due.key)

    def _note(self, table: Table, item: Any) -> None:
        at = _expires_at(table, item)
        if at is not None:
            key = item.hash_key, item.range_key
            due = _Due(at, next(self._numbers), table.account_id, table.region_name, table.name, key)
            heapq.heappush(self._due, due)


def _delete(table: Any, key: tuple[Any, Any]) -> None:
    table.delete_item(*key)
    if table.stream_shard is not None:
        by_ttl = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
        table.stream_shard.items[-1].record["userIdentity"] = by_ttl


def _expires_at(table: Any, item: Any) -> float | None:
    """When the item expires, in seconds since 1970. Only numbers count."""
    if table.ttl["TimeToLiveStatus"] != "ENABLED":
        return None
    value = item.attrs.get(table.ttl["AttributeName"])
    return float(value.value) if value is not None and value.type == "N" else None
