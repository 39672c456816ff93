"""The outbox: how long its rows wait, and how many are parked."""

from dataclasses import dataclass
from datetime import UTC, datetime

from celeriac.enqueue.outbox_row import SHARDS
from celeriac.relay import unpublished

MOST_PARKED = 1000
CALLS = SHARDS + 1
"""A query for each shard's oldest row, and one that counts the parked ones."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """The state of the outbox."""

    lag_seconds: float
    """The age of the oldest row that isn't published; 0 if there is none."""
    parked: int
    """Rows that can't be published, counted up to `MOST_PARKED`."""


def read() -> Outbox:
    """Read it from the outbox's index."""
    oldest, parked = unpublished.lag(most_parked=MOST_PARKED)
    return Outbox((datetime.now(UTC) - oldest).total_seconds() if oldest is not None else 0.0, parked)
