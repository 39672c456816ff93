"""Lists the ended runs of a task, from the index of the records."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from celeriac.aws.client import client, error_code
from celeriac.leases import history
from celeriac.leases.claim_write import record_of
from celeriac.leases.history import Attempt, Ended
from celeriac.leases.status import milliseconds
from celeriac.model import names, settings
from celeriac.model.errors import CeleriacError

MOST_RUNS = 1_000
"""In one list."""
# Boto3 keeps ten connections.
_PARALLEL = 10
_FIRST = datetime.fromtimestamp(0, UTC)


class NoHistoryError(CeleriacError, LookupError):
    """The task's runs aren't kept, or nothing that keeps them is deployed yet."""


class Run(msgspec.Struct, frozen=True):
    """What has become of one message of a task."""

    task: str
    id: str
    """The message's id."""
    state: Ended
    """cancelled: somebody stopped it while it ran or between two runs, or it expired before."""
    ended_at: datetime
    attempts: tuple[Attempt, ...]
    """The last ten, the earliest first; none for a message that has expired."""

    @property
    def attempt(self) -> int:
        """The number of the last attempt; 0 if there was none."""
        return self.attempts[-1].attempt if self.attempts else 0

    @property
    def error(self) -> str:
        """The class of the last attempt's error, or its reason; empty if there was none."""
        return self.attempts[-1].error if self.attempts else ""


class _Place(NamedTuple):
    task: str
    state: Ended
    partition: str


def ended(
    task: str, states: Sequence[Ended] = (), *, since: datetime | None, until: datetime | None, limit: int
) -> list[Run]:
    """The last runs of a task that have ended in one of these states, the latest first.

    states: all if it is empty. since, until: when they ended, both included, with their zones. limit: 1 to 1,000.

    A read of the index for each shard of each state, ten at once. Raises ValueError for a wrong value, NoHistoryError
    if the index isn't deployed, and AWS's errors.
    """
    if not 1 <= limit <= MOST_RUNS:
        raise ValueError(f"limit is {limit}, write 1 to {MOST_RUNS:,}; `until` leads to earlier runs")
    for name, instant in (("since", since), ("until", until)):
        if instant is not None and instant.tzinfo is None:
            raise ValueError(f"{name} has no zone: write datetime(..., tzinfo=UTC)")
    if unknown := [state for state in states if state not in history.ENDED]:
        raise ValueError(f"{unknown[0]!r} is no end of a run, write {', '.join(history.ENDED)}")
    places = [
        _Place(task, state, partition)
        for state in states or history.ENDED
        for partition in history.partitions(task, state)
    ]
    # Each shard has about as many of the last runs.
    asked = {
        "KeyConditionExpression": f"{history.RUN_OF} = :of AND {history.ENDED_AT} BETWEEN :since AND :until",
        "Limit": limit // history.SHARDS + 10,
    }
    between = {
        ":since": {"N": milliseconds(since or _FIRST)},
        ":until": {"N": milliseconds(until or datetime.max.replace(tzinfo=UTC))},
    }

    def first(place: _Place) -> Any:
        values = {":of": {"S": place.partition}, **between}
        request = {**asked, "ExpressionAttributeValues": values}
        return place, request, _query(request)

    with ThreadPoolExecutor(min(_PARALLEL, len(places))) as pool:
        found = [_all(*each) for each in pool.map(first, places)]
    latest: Iterable[Run] = heapq.merge(*found, key=lambda run: run.ended_at, reverse=True)
    return list(islice(latest, limit))


def _all(place: _Place, request: Any, page: Any) -> Iterator[Run]:
    """All runs of a place, the latest first. The next page is read when it is needed."""
    while True:
        for item in page["Items"]:
            record = record_of(item)
            message_id = str(record.get("task_id", ""))
            at = datetime.fromtimestamp(int(record[history.ENDED_AT]) / 1000, UTC)
            yield Run(place.task, message_id, place.state, at, history.attempts_in(record, message_id))
        if "LastEvaluatedKey" not in page:
            return
        page = _query(request | {"ExclusiveStartKey": page["LastEvaluatedKey"]})


def _query(request: Any) -> Any:
    stage = settings.stage()
    table = names.idempotency_table(stage)
    try:
        return client("dynamodb").query(
            TableName=table, IndexName=names.runs_index(), ScanIndexForward=False, **request
        )
    except Exception as error:
        if error_code(error) in {"ValidationException", "ResourceNotFoundException"}:
            raise NoHistoryError(
                f"the stage {stage!r} has no index of runs yet: deploy it with a queue that has history=True"
            ) from error
        raise
