"""The items of a chain's later steps, each under the queue of its task: `step#<queue>#<chain>#<number>`.

| attribute | |
|---|---|
| `message` | the message, with how it is sent |
| `results` | the names of the arguments that are the result of the step before, as JSON |
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from celeriac.aws import pause
from celeriac.aws.client import client
from celeriac.flow import rows
from celeriac.model.errors import CeleriacError

LIVES = timedelta(days=400)
"""How long a chain may take to come to a step."""
_MOST_TRIES = 8


class Step(Struct, frozen=True):
    """A later step of a chain."""

    queue: str
    at: int
    message: str
    results: tuple[str, ...] = ()


class NotStoredError(CeleriacError, RuntimeError):
    """DynamoDB was asked again and again, and hasn't taken all steps."""


def store(chain_id: str, steps: Sequence[Step]) -> None:
    """Store the later steps of a chain, in one call. Raises AWS's errors, and NotStoredError."""
    expires_at = int((datetime.now(UTC) + LIVES).timestamp())
    requests: list[Any] = [
        {
            "PutRequest": {
                "Item": {
                    rows.KEY: {"S": key_of(step.queue, chain_id, step.at)},
                    "message": {"S": step.message},
                    "results": {"S": msgspec.json.encode(step.results).decode()},
                    rows.EXPIRES_AT: {"N": str(expires_at)},
                }
            }
        }
        for step in steps
    ]
    for tried in range(_MOST_TRIES):
        answer = client("dynamodb").batch_write_item(RequestItems={rows.table(): requests})
        requests = answer.get("UnprocessedItems", {}).get(rows.table(), [])
        if not requests:
            return
        pause.wait(0.05 * 2**tried)
    raise NotStoredError(f"DynamoDB has not taken {len(requests)} of {len(steps)} steps: enqueue the chain again")


def read(queue: str, chain_id: str, at: int) -> Step | None:
    """A step; None if it isn't there. Raises AWS's errors."""
    item = rows.read(key_of(queue, chain_id, at))
    if not item:
        return None
    return Step(queue, at, str(item["message"]), tuple(msgspec.json.decode(item["results"])))


def key_of(queue: str, chain_id: str, at: int) -> str:
    """The key of a step's item."""
    return f"{rows.STEP}{queue}#{chain_id}#{at}"
