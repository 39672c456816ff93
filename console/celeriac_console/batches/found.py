"""Batches of a stage: those that haven't ended, and one by its id."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import to_builtins

from celeriac.flow import rows
from celeriac.flow.batches import root
from celeriac.flow.batches.root import Batch
from celeriac.flow.batches.status import BatchStatus, status_of
from celeriac_console.limits.items import NoFlowTableError
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command

MOST_LISTED = 1_000
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A batch, and how it stands."""

    batch: Batch
    status: BatchStatus

    @property
    def age(self) -> timedelta:
        """How long ago its block was entered."""
        return datetime.now(UTC) - self.batch.opened_at

    @property
    def late_by(self) -> timedelta | None:
        """For how long it should have ended; None if it isn't late."""
        late_at = self.batch.late_at
        return datetime.now(UTC) - late_at if late_at is not None and late_at <= datetime.now(UTC) else None

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits for it: its block was left by an error, or an operator has given it up."""
        return not self.batch.fired and not self.batch.due

    def as_json(self) -> dict[str, Any]:
        """The batch as plain data. What isn't known while its block runs is null."""
        is_sealed = self.batch.is_sealed
        counts = ("total", "succeeded", "dead", "missing")
        made: dict[str, Any] = to_builtins(
            {
                "id": self.batch.id,
                "state": self.status.state,
                **{name: getattr(self.status, name) if is_sealed else None for name in counts},
                "has_fired": self.status.has_fired,
                "has_told": self.status.has_told,
                "given_up": self.is_given_up,
                "late": self.late_by is not None,
                "opened_at": self.batch.opened_at,
                "sealed_at": self.batch.sealed_at,
                "late_at": self.batch.late_at,
            }
        )
        return made


@dataclass(frozen=True, slots=True)
class Listed:
    """Batches that haven't ended: the late ones first, and of those the oldest."""

    found: list[Found]
    is_cut: bool
    """Whether there are more."""


def unended(limit: int, *, late: bool) -> Listed:
    """The batches that haven't ended, `limit` at most; with `late`, only those that should have.

    Raises AWS's errors, and NoFlowTableError.
    """
    try:
        ids = _ids(limit, late=late)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            read = [each for each in pool.map(read_one, ids[:limit]) if each is not None and not each.batch.fired]
    except Exception as error:
        if rows.is_missing(error):
            raise NoFlowTableError("batches") from error
        raise
    made = [each for each in read if each.late_by is not None or not late]
    return Listed(sorted(made, key=lambda each: (each.late_by is None, each.batch.opened_at)), len(ids) > limit)


def named(batch_id: str) -> Found:
    """The batch with this id. Raises UserError if there is none, NoFlowTableError, and AWS's errors."""
    if not all(batch_id.partition("#")):
        raise UserError(f"{batch_id!r} is no id of a batch: it is a queue, # and a name. {_shows()}")
    try:
        found = read_one(batch_id)
    except Exception as error:
        if rows.is_missing(error):
            raise NoFlowTableError("batches") from error
        raise
    if found is None:
        raise UserError(f"no batch has the id {batch_id}, or it ended more than 35 days ago. {_shows()}")
    return found


def read_one(batch_id: str) -> Found | None:
    """A batch as it is now; None if there is none. Raises AWS's errors."""
    batch = root.read(batch_id)
    return Found(batch, status_of(batch)) if batch is not None else None


def _shows() -> str:
    return f"{command('batches', 'list')} shows those that haven't ended"


def _ids(limit: int, *, late: bool) -> list[str]:
    """One more than `limit`, if there are so many."""
    # The sweeper puts a batch among the late ones when it is due there, so a late one is due by now.
    until = datetime.now(UTC) if late else None
    ids = [*_in(root.shards(root.LATE), limit), *_in(root.shards(root.RUNNING), limit, until)]
    return list(dict.fromkeys(ids))


def _in(shards: Iterable[str], limit: int, until: datetime | None = None) -> list[str]:
    return [batch_id for shard in shards for batch_id in root.listed(shard, limit + 1, until=until)]
