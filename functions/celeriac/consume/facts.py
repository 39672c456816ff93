"""Facts about a run for the log and the metrics, which its outcome doesn't contain."""

from datetime import timedelta
from typing import Any

from msgspec import Struct, field

from celeriac.leases.lease import Lease
from celeriac.leases.result import Kept
from celeriac.model.failure import Failure


class Follows(Struct):
    """What is known, for what follows a message of a batch or a chain."""

    is_done: bool = False
    """Whether its record says that the work is done."""
    lease: Lease | None = None
    """The lease of its run."""
    kept: Kept | None = None
    """The result, if no lease has recorded it."""

    @property
    def result(self) -> Kept:
        """The result as it is recorded."""
        recorded = self.lease.kept if self.lease is not None else None
        return self.kept or recorded or Kept(None, "no run has returned it")


class Facts(Struct):
    """Set during the run. Fields of steps that were not reached keep their defaults."""

    task: str | None = None
    """The registered task."""
    key: str | None = None
    """The idempotency key. It may identify a person, so it is logged as a hash."""
    waited: timedelta = timedelta()
    """How long the message has waited for limits, before it came. That isn't its age."""
    throttled_by: str = ""
    """The limit that the task has found to be used up, by `Throttled`."""
    waited_seconds: float = 0.0
    """How long the run waited for its turn. It isn't part of its duration."""
    has_run: bool = False
    """Whether the task's function was called."""
    is_mismatch: bool = False
    """Whether the key was used before, with other arguments."""
    age: timedelta | None = None
    """The time from enqueuing to the start of the first attempt."""
    error: BaseException | None = None
    """What the task raised. Kept only if hooks are to be told."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What hooks note during the attempt, for those after it."""
    carried: dict[str, str] = field(default_factory=dict)
    """The headers that hooks add to the message that follows."""
    replaced: tuple[str, Failure] | None = None
    """The id and the failure of a dead letter of the same key. The record held them until this message claimed it."""
