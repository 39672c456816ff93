"""The context: what a task can learn about its own run."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from celeriac.declare.iterating import AsyncItems, Items
from celeriac.enqueue import batches
from celeriac.execute.off_loop import off_loop
from celeriac.model import celery_names, notice, progress_made
from celeriac.model.continuing import EVERY, check_every, cursor_text
from celeriac.model.shown import shown

if TYPE_CHECKING:
    from celeriac.enqueue.transaction import Transaction
    from celeriac.flow.batches.known import KnownBatch
    from celeriac.leases.checkpoints import Checkpoints
    from celeriac.leases.lease import Lease
    from celeriac.leases.watch import Watch


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
    """When Lambda will stop this worker. A worker outside of Lambda may be told to end before: see `remaining`."""
    group: str | None = None
    """The group that the message was enqueued with."""
    _lease: "Lease | None" = None
    _checkpoints: "Checkpoints | None" = None
    _watch: "Watch | None" = None
    _is_without_record: bool = False
    _refusal: str = ""
    """Why the task can't save how far it is; empty if it can."""
    _batch_id: str = ""

    def __repr__(self) -> str:
        return shown(self, "id", "key", "task", "attempt", "deadline", "group")

    @property
    def remaining(self) -> timedelta:
        """How long this worker has left. It shrinks when a worker outside of Lambda is told to end."""
        ends_at = self.deadline if notice.bodies_end_at is None else min(self.deadline, notice.bodies_end_at)
        return ends_at - datetime.now(UTC)

    @property
    def cancelled(self) -> bool:
        """Whether somebody has cancelled the task. Then clean up, and `raise celeriac.Cancelled`.

        Any other error ends it as cancelled too, and if it returns, it has succeeded. In a sync task this may read the
        task's record, nine seconds after the last time at the earliest. It is always False in a task that isn't
        effectively once.
        """
        return self._watch is not None and self._lease is not None and self._watch.has_cancelled(self._lease)

    @property
    def cursor(self) -> Any:
        """Where the task goes on: what its last checkpoint has saved, as JSON types; None at the beginning.

        A redriven task goes on from its cursor too, unless its arguments were edited.
        """
        return self._checkpoints.cursor if self._checkpoints is not None else None

    def checkpoint(self, cursor: Any, *, every: timedelta = EVERY) -> None:
        """Save how far the task is. If its worker dies, or its time is over, the next run goes on from there.

        cursor: JSON of at most 8 KB, not None, such as the key of the last row that is done.
        every: how long after a write the next one comes at the earliest, so it may be called for each row.

        When the time of the run is almost over, this call saves the cursor and ends the run: the task goes on in the
        next invocation with the same id, key and attempt. Attempts are counted from the last one in which the cursor
        moved. A task goes on at most 10,000 times.

        In a sync task that somebody has cancelled, it raises `Cancelled` once the cursor is saved.

        Raises TypeError in a task that isn't effectively once, ValueError for a cursor that can't be kept, and
        TransactionError in an open transaction.
        """
        if self._refusal:
            raise TypeError(self._refusal)
        check_every(every)
        batches.begin_part("ctx.checkpoint(...)")
        if self._lease is not None and self._lease.in_transaction:
            from celeriac.enqueue.action import TransactionError  # noqa: PLC0415 - see `transaction`

            raise TransactionError(
                "ctx.checkpoint(...) in an open transaction would save the cursor without its writes: call "
                "tx.checkpoint(...)"
            )
        if self._checkpoints is None:
            cursor_text(cursor)  # a call in a test, without a worker
        else:
            self._checkpoints.save(cursor, every)

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        """Say how far the task is: `ctx.progress(3, 10, "rows")`. `handle.status().progress` has it, also at the end.

        done, total: numbers from 0 on; total is None if nobody knows it. unit: what is counted, 40 characters at most.

        It may be called for each row: it is written every two seconds at most, or with a checkpoint or the end. In a
        sync task that somebody has cancelled, it raises `Cancelled`.

        Raises TypeError in an at_least_once task, which keeps no record, and for a wrong type; ValueError for a wrong
        value.
        """
        progress_made.check(done, total, unit)
        if self._is_without_record:
            raise TypeError(
                f"task {self.task!r} is at_least_once: no record of it is kept that could hold its progress"
            )
        if self._lease is not None:
            # A producer doesn't need it, nor what it imports.
            from celeriac.leases import reporting  # noqa: PLC0415

            reporting.tell(self._lease, progress_made.Progress(done, total, unit, datetime.now(UTC)))

    async def aprogress(self, done: float, total: float | None = None, unit: str = "") -> None:
        """Do what `progress` does, in a thread if it writes: the event loop goes on turning."""
        from celeriac.leases import reporting  # noqa: PLC0415 - as above

        if self._lease is not None and reporting.is_due(self._lease):
            await off_loop(self.progress, done, total, unit)
        else:
            self.progress(done, total, unit)

    async def acheckpoint(self, cursor: Any, *, every: timedelta = EVERY) -> None:
        """Do what `checkpoint` does, in a thread: the event loop goes on turning."""
        await off_loop(self.checkpoint, cursor, every=every)

    def iterate[T](
        self, iterable: Iterable[T], *, cursor_of: Callable[[T], Any], every: timedelta = EVERY
    ) -> Iterator[T]:
        """Yield each item, and make a checkpoint when it is done: when the next one is asked for.

        iterable: begins behind `ctx.cursor`. cursor_of: the cursor of an item that is done. A transaction for an item
        must save that cursor, with `tx.checkpoint`.
        """
        return Items(self._lease, iterable, lambda item: self.checkpoint(cursor_of(item), every=every))

    def aiterate[T](
        self, iterable: AsyncIterable[T] | Iterable[T], *, cursor_of: Callable[[T], Any], every: timedelta = EVERY
    ) -> AsyncIterator[T]:
        """Do what `iterate` does, for `async for`."""
        return AsyncItems(self._lease, iterable, lambda item: self.acheckpoint(cursor_of(item), every=every))

    @property
    def batch(self) -> "KnownBatch | None":
        """The batch whose callback or member this is; None if it is neither. It has the id, the key and the status."""
        if not self._batch_id:
            return None
        # It loads what reads DynamoDB, which a producer that only enqueues doesn't need.
        from celeriac.flow.batches.known import KnownBatch  # noqa: PLC0415

        return KnownBatch(self._batch_id)

    def transaction(self) -> "Transaction":
        """A transaction that commits the task's effects and its success in one step, on leaving the `with` block.

        In an effectively-once or at-most-once task, the commit depends on the task's lease: a worker that lost its
        lease can't commit, and a task whose worker dies after the commit isn't run again. A run can commit one
        transaction, after any number of those with `tx.checkpoint(...)`. The success is recorded before the task
        returns, so its return value isn't kept: pass the result to `tx.result(value)`.

        In an async task, write `async with ctx.transaction() as tx:`. The commit then doesn't block the event loop.
        """
        # Transactions load boto3 and Powertools, which a producer that only enqueues doesn't need.
        from celeriac.enqueue.transaction import Transaction  # noqa: PLC0415

        return Transaction(self._lease, in_run=True, checkpoints=self._checkpoints, refusal=self._refusal)


for _name, _cure in celery_names.CONTEXT.items():
    setattr(Context, _name, celery_names.Missing(_name, _cure))
