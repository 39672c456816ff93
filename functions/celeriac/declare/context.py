"""The context: what a task can learn about its own run."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from celeriac.model import celery_names
from celeriac.model.shown import shown

if TYPE_CHECKING:
    from celeriac.enqueue.transaction import Transaction
    from celeriac.leases.lease import Lease


class Context(Struct, frozen=True):
    """The run of one task. A task gets it as its first parameter: `def charge(ctx: Context, ...)`."""

    id: str
    """The message's id: the same in retries and redrives."""
    key: str
    """The idempotency key, `<task>:<value of the key parameter, or the id>`. It is the same at every attempt, and every
    task has different keys. Pass it to providers that take an idempotency key."""
    task: str
    attempt: int
    """1 at the first run."""
    deadline: datetime
    """When Lambda will stop this worker."""
    group: str | None = None
    """The group that the message was enqueued with."""
    _lease: "Lease | None" = None

    def __repr__(self) -> str:
        return shown(self, "id", "key", "task", "attempt", "deadline", "group")

    @property
    def remaining(self) -> timedelta:
        """How long this worker has left."""
        return self.deadline - datetime.now(UTC)

    def transaction(self) -> "Transaction":
        """A transaction that commits the task's effects and its success in one step, on leaving the `with` block.

        In an effectively-once or at-most-once task, the commit depends on the task's lease: a worker that lost its
        lease can't commit, and a task whose worker dies after the commit isn't run again. A run can commit one
        transaction. The success is recorded before the task returns, so its return value isn't kept: pass the result
        to `tx.result(value)`.

        In an async task, write `async with ctx.transaction() as tx:`. The commit then doesn't block the event loop.
        """
        # Transactions load boto3 and Powertools, which a producer that only enqueues doesn't need.
        from celeriac.enqueue.transaction import Transaction  # noqa: PLC0415

        return Transaction(self._lease, in_run=True)


for _name, _cure in celery_names.CONTEXT.items():
    setattr(Context, _name, celery_names.Missing(_name, _cure))
