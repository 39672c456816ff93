"""What moto does again and again with the same result, done once: half of a sandbox's time.

Each patch gives what moto's own code gives; nothing else of the test kit changes moto.
"""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from moto.core import responses, utils
from moto.dynamodb import models as dynamodb
from moto.dynamodb.models.table import Table
from moto.sqs import models as sqs

# For each call moto spells the operation's name anew, and lists all methods of the service.
_camelcase_to_underscores = cache(utils.camelcase_to_underscores)
_method_names_from_class = cache(utils.method_names_from_class)


@contextmanager
def faster() -> Iterator[None]:
    """Let moto work faster. Calls are made one at a time, see `Calls`."""
    copies: dict[int, Table] = {}
    transact = dynamodb.DynamoDBBackend.transact_write_items

    def deepcopy(value: Any, *rest: Any) -> Any:
        if not isinstance(value, Table):
            return copy.deepcopy(value, *rest)
        if id(value) not in copies:
            copies[id(value)] = copy.deepcopy(value, *rest)
        return copies[id(value)]

    def transact_write_items(backend: dynamodb.DynamoDBBackend, *actions: Any, **named: Any) -> None:
        # Moto copies a table for each action that writes to it, all of them before it writes anything.
        copies.clear()
        try:
            transact(backend, *actions, **named)
        finally:
            copies.clear()

    with (
        patch.object(dynamodb, "copy", SimpleNamespace(deepcopy=deepcopy)),
        patch.object(dynamodb.DynamoDBBackend, "transact_write_items", transact_write_items),
        patch.object(responses, "camelcase_to_underscores", _camelcase_to_underscores),
        patch.object(responses, "method_names_from_class", _method_names_from_class),
        patch.object(sqs, "camelcase_to_underscores", _camelcase_to_underscores),
        # It is asked for each message of a queue, at each look; moto subtracts dates.
        patch.object(sqs, "unix_time_millis", unix_time_millis),
    ):
        yield


def unix_time_millis() -> float:
    """Milliseconds since 1970, by the sandbox's clock."""
    return time.time() * 1000.0
