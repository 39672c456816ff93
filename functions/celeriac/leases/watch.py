"""The watch of the tasks that a worker runs: every few seconds it reads whether somebody has cancelled one of them.

Only tasks that hear of it without looking themselves are watched, and those that have looked at `ctx.cancelled`. What
is over sooner costs nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from msgspec import Struct

from celeriac.aws.client import client, error_code
from celeriac.leases.claim_write import record_of
from celeriac.leases.lease import Lease
from celeriac.model.failure import error_type
from celeriac.observe.log import logger

EVERY = timedelta(seconds=9)
"""A task hears of it within ten seconds. One that is younger than this isn't looked at."""
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
MOST_KEYS = 100

current: "Watch | None" = None
"""The watch of the invocation that runs now: a sandbox moves its time."""


class _Run(Struct, eq=False):
    """A run that may be cancelled."""

    lease: Lease
    looked_at: datetime
    """Or when it began."""
    is_watched: bool


class Watch:
    """The runs of one invocation."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs: set[_Run] = set()

    @contextmanager
    def over(self, lease: Lease) -> Iterator[None]:
        """In the block, a task runs with this lease."""
        run = _Run(lease, datetime.now(UTC), lease.stop.interrupts)
        with self._lock:
            self._runs.add(run)
        try:
            yield
        finally:
            with self._lock:
                self._runs.discard(run)

    @property
    def seconds_left(self) -> float:
        """How long it is until a run is to be looked at."""
        with self._lock:
            nexts = [run.looked_at + EVERY for run in self._runs if run.is_watched and not run.lease.stop.asked]
        return max((min(nexts) - datetime.now(UTC)).total_seconds(), 0.0) if nexts else EVERY.total_seconds()

    def look(self) -> None:
        """Ask those to stop that are cancelled, if one is to be looked at. What AWS refuses is logged."""
        self._look(self._due())

    def has_cancelled(self, lease: Lease) -> bool:
        """Whether a run was asked to stop, by a look that is a few seconds old at most."""
        if not lease.stop.asked and not lease.stop.interrupts:
            with self._lock:
                for run in self._runs:
                    run.is_watched = run.is_watched or run.lease is lease
            self.look()
        return lease.stop.asked

    def _due(self) -> Sequence[_Run]:
        """Those to look at: if one is to be looked at now, all that aren't younger than that."""
        now = datetime.now(UTC)
        with self._lock:
            watched = [run for run in self._runs if run.is_watched and not run.lease.stop.asked]
            if not any(run.looked_at + EVERY <= now for run in watched):
                return []
            old = [run for run in watched if run.lease.begun_at + EVERY <= now][:MOST_KEYS]
            for run in old:
                run.looked_at = now
            return old

    @staticmethod
    def _look(runs: Sequence[_Run]) -> None:
        if not runs:
            return
        try:
            found = {item["id"]["S"]: item for item in _read([run.lease.place for run in runs])}
        except Exception as error:  # noqa: BLE001 - the next look may succeed
            logger.warning("not known whether tasks are cancelled", extra={"error": error_type(error)})
            return
        for run in runs:
            run.lease.hear(record_of(found.get(run.lease.place["Key"]["id"]["S"])))


def _read(places: Sequence[Any]) -> Sequence[Any]:
    """The records, by one call. What DynamoDB leaves out waits for the next look."""
    table = places[0]["TableName"]
    keys = [place["Key"] for place in places]
    if len(keys) == 1:
        answer = client("dynamodb").get_item(TableName=table, Key=keys[0])
        return [answer["Item"]] if "Item" in answer else []
    try:
        return client("dynamodb").batch_get_item(RequestItems={table: {"Keys": keys}})["Responses"].get(table, [])
    except Exception as error:
        if "AccessDenied" not in error_code(error):
            raise
    # AWS allows a call only if one statement of the role's policy allows all of its keys.
    answers = [client("dynamodb").get_item(TableName=table, Key=key) for key in keys]
    return [answer["Item"] for answer in answers if "Item" in answer]


@contextmanager
def running(watch: Watch) -> Iterator[None]:
    """In the block, this is the current watch."""
    global current  # noqa: PLW0603 - see there
    before, current = current, watch
    try:
        yield
    finally:
        current = before
