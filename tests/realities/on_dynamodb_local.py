"""Sandboxes whose DynamoDB is DynamoDB Local. Each one begins with no tables.

Time is virtual for all that our code writes. The stream's records get the virtual time too, because the relay's
mapping gives up on old ones. Nothing is deleted by TTL here: DynamoDB Local would do it by the real time.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from celeriac.aws.client import client
from celeriac.model import names
from celeriac.testing import account
from tests.realities.dynamodb_local import dynamodb_local
from tests.realities.over_http import Exchange, answered_by

HOSTS = ("dynamodb.", "streams.dynamodb.")
_create = account.create


class _Never(dict[Any, Any]):
    """Keeps nothing: a copy of moto's state would hold no tables."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Forget it."""


class _Written:
    """When each item was put for the first time, in virtual time."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}

    def watch(self, exchange: Exchange) -> Any:
        """Note the puts; give the stream's records the time of theirs."""
        match exchange.operation:
            case "PutItem" if not exchange.is_refused:
                self._note(exchange.request["Item"])
            case "TransactWriteItems" if not exchange.is_refused:
                for action in exchange.request["TransactItems"]:
                    if "Put" in action:
                        self._note(action["Put"]["Item"])
            case "GetRecords" if not exchange.is_refused:
                for record in exchange.answer["Records"]:
                    change = record["dynamodb"]
                    change["ApproximateCreationDateTime"] = self._at.get(str(change["Keys"]), time.time())
                return exchange.answer
        return None

    def _note(self, item: dict[str, Any]) -> None:
        keys = {name: item[name] for name in ("pk", "sk") if name in item}
        for key in (keys, dict(reversed(keys.items()))):
            self._at.setdefault(str(key), time.time())

    def clear(self) -> None:
        self._at.clear()


@contextmanager
def on_dynamodb_local(count: Callable[[], None]) -> Iterator[None]:
    """In the block, every sandbox uses one DynamoDB Local. `count` is called for each of its calls."""
    written = _Written()

    def create(stage: str, urls: account.Urls) -> None:
        written.clear()
        dynamodb = client("dynamodb")
        for table in dynamodb.list_tables()["TableNames"]:
            dynamodb.delete_table(TableName=table)
        _create(stage, urls)

    with (
        dynamodb_local() as endpoint,
        answered_by(endpoint, HOSTS, count, after=written.watch),
        patch.object(account, "create", create),
        patch.object(account, "_new", _Never()),
        patch.object(account, "_outbox_rows", _outbox_rows),
        patch.object(account, "_expire", lambda *_: None),
    ):
        yield


def _outbox_rows(stage: str) -> list[Any]:
    pages = client("dynamodb").get_paginator("scan").paginate(TableName=names.outbox_table(stage))
    return [_as_moto_holds_it(item) for page in pages for item in page["Items"]]


def _as_moto_holds_it(item: Any) -> dict[str, Any]:
    return {name: SimpleNamespace(value=next(iter(value.values()))) for name, value in item.items()}
