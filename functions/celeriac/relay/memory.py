"""What a worker of the relay or of the sweeper remembers from one invocation to the next.

A worker that has forgotten it makes calls in vain, or sends copies. It loses no row and no order.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, field

OUT_OF_REACH_FOR = timedelta(minutes=1)
"""How long a queue is left alone after a call that AWS didn't answer. boto3's tries of such a call take 48 s."""
MOST_ROWS = 10_000
"""The most rows that are remembered."""


class Place(Struct, frozen=True):
    """Where a sweep of a shard ran out of time."""

    key: Any = None
    """The index's key of the last row that was looked at."""
    blocked: frozenset[str] = frozenset()
    """The aggregates that wait for an earlier row."""
    unsettled: frozenset[str] = frozenset()
    """The aggregates of which an earlier row is not published."""


class Memory(Struct):
    """A worker's memory."""

    out_of_reach: dict[str, datetime] = field(default_factory=dict)
    """Until when nothing is sent to a queue, to the bus or to Scheduler, by name."""
    unmarked: dict[str, None] = field(default_factory=dict)
    """The ids of rows that were published and could not be marked, in that order."""
    finished: dict[str, None] = field(default_factory=dict)
    """The ids of rows that Lambda delivers again only because of an earlier row."""
    unnoted: dict[str, None] = field(default_factory=dict)
    """The ids of rows that Lambda delivers again because their order couldn't be noted."""
    places: dict[str, Place] = field(default_factory=dict)
    """By shard: where the next sweep goes on."""
    looked_for: dict[str, datetime] = field(default_factory=dict)
    """When this worker first looked for unclaimed events of a type."""

    def leave_alone(self, name: str) -> None:
        """Note that `name` can't be reached."""
        self.out_of_reach[name] = datetime.now(UTC) + OUT_OF_REACH_FOR

    def can_reach(self, name: str) -> bool:
        """Whether `name` may be tried."""
        return datetime.now(UTC) >= self.out_of_reach.get(name, datetime.min.replace(tzinfo=UTC))

    def note_marks(self, published: Iterable[str], unwritten: set[str]) -> None:
        """Note which of the published rows could not be marked. The oldest of too many are forgotten."""
        for row in published:
            if row in unwritten:
                self.unmarked[row] = None
            else:
                self.unmarked.pop(row, None)
        _trim(self.unmarked)

    def note_redelivery(self, finished: Iterable[str], unnoted: Iterable[str]) -> None:
        """Note the rows of a batch that Lambda will deliver again."""
        self.finished |= dict.fromkeys(finished)
        self.unnoted |= dict.fromkeys(unnoted)
        _trim(self.finished)
        _trim(self.unnoted)


def _trim(rows: dict[str, None]) -> None:
    while len(rows) > MOST_ROWS:
        del rows[next(iter(rows))]


worker = Memory()
"""The memory of this process. A Sandbox gives each function its own."""
