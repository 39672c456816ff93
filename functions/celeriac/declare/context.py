"""What a task may know of its own run."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from celeriac.model import habits

if TYPE_CHECKING:
    from celeriac.enqueue.transaction import Transaction
    from celeriac.leases.lease import Lease


@dataclass(frozen=True, slots=True)
class Context:
    """The run of one task. A task that names it as its first parameter gets it: `def charge(ctx: Context, ...)`."""

    id: str
    """The task's id: the same through retries and redrives."""
    key: str
    """The idempotency key, `<task>:<value of its key parameter, or its id>`: the same at every attempt, and another
    for every other task. Hand it to providers that take one."""
    task: str
    attempt: int
    """1 at the first run."""
    deadline: datetime
    """When Lambda will stop this worker."""
    group: str | None = None
    """The group it was enqueued with."""
    _lease: "Lease | None" = field(default=None, repr=False)

    @property
    def remaining(self) -> timedelta:
        """How long this worker has left."""
        return self.deadline - datetime.now(UTC)

    def transaction(self) -> "Transaction":
        """A transaction that commits the task's effects and its success in one step, on leaving the `with` block.

        Inside an effectively-once task it is conditioned on the task's lease: a worker that lost its lease can't
        commit, and a worker that dies after the commit isn't run again. One a run. Its success is recorded before the
        task returns, so what it returns isn't kept: give the result to `tx.result(value)`.
        """
        # The transaction knows tasks, tasks know their context: one of the two must come late.
        from celeriac.enqueue.transaction import Transaction  # noqa: PLC0415

        return Transaction(self._lease, in_run=True)


for _name, _cure in habits.CONTEXT.items():
    setattr(Context, _name, habits.Missing(_name, _cure))
