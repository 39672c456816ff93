"""Batches: many tasks, and a callback when all of them have succeeded."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from threading import Condition
from types import TracebackType
from typing import Any, Literal, Self

from celeriac.compose import callbacks
from celeriac.compose.name import name_of
from celeriac.compose.stored import derived, stored
from celeriac.declare import leaving
from celeriac.declare.bound import Bound
from celeriac.declare.handle import Handle
from celeriac.declare.signature import InvalidArgumentsError
from celeriac.declare.task import PartialFailureError, Task
from celeriac.enqueue.send import Parcel, send_many
from celeriac.execute.off_loop import off_loop
from celeriac.flow.batches import items, root
from celeriac.flow.batches.known import KnownBatch
from celeriac.flow.batches.status import BatchStatus, status_of
from celeriac.model.failure import error_type
from celeriac.model.following import MOST_MEMBERS, BatchError
from celeriac.model.queue import Queue
from celeriac.observe import running
from celeriac.observe.log import logger

_IN_A_CALL = 10
"""SendMessageBatch takes ten."""
_AT_ONCE = 1_000
"""So many of `enqueue_many` are made and sent at a time."""
LATE_AFTER = timedelta(days=1)
MOST_KEY_BYTES = 512
"""With it, the longest id fits into a message's `batch`, and into a key of DynamoDB."""


class Batch:
    """A batch that is filled in its `with` block. Left without an error, it is sealed: then its callbacks may come.

    If the block raises, or its producer dies, no callback comes. What was sent runs nevertheless.
    """

    def __init__(
        self,
        then: Bound[Any] | None,
        dead: Bound[Any] | None,
        key: str | None,
        late_after: timedelta,
    ) -> None:
        self._then, self._dead, self.key, self._late_after = then, dead, key, late_after
        self._queue = _queue_of(then, dead)
        self._lock = Condition()
        self._sending = 0
        """How many threads send members."""
        self._count = 0
        self._waiting: list[tuple[Parcel, Handle[Any], Mapping[str, Any]]] = []
        self._has_failed = False
        self._state: Literal["new", "open", "closing", "over"] = "new"
        self._root: root.Batch | None = None
        if key is not None:
            _check_key(key)
        given: object = late_after
        if not isinstance(given, timedelta) or not timedelta() < given <= items.OPEN_FOR:
            raise ValueError(f"late_after is {late_after!r}: write a timedelta, of 400 days at most")

    @property
    def id(self) -> str:
        """Its id, for `celeriac.batch_of(id)`: known when the block has been entered."""
        return self._entered.id

    @property
    def duplicate(self) -> bool:
        """Whether a batch of the same key was sealed before. Then nothing is sent: that one goes on."""
        return self._entered.is_sealed

    @property
    def _entered(self) -> root.Batch:
        if self._root is None:
            raise BatchError("the batch isn't entered yet: write `with celeriac.batch(...) as batch:`")
        return self._root

    def status(self) -> BatchStatus:
        """How the batch is doing. Raises AWS's errors."""
        return status_of(root.read(self.id))

    async def astatus(self) -> BatchStatus:
        """Like `status`, for async code."""
        return await off_loop(self.status)

    def enqueue[**Q, S](self, task: Task[Q, Any, S], /, *args: Q.args, **kwargs: Q.kwargs) -> Handle[S]:
        """Add a member. It is sent with up to nine others, at the end of the block at the latest.

        Raises what `task.enqueue` raises, TypeError for a task that is `Unique` or debounced, BatchError outside of the
        block or for more than a million members, and PartialFailureError if members weren't sent.
        """
        handle = self._add(task, task.signature.named(args, kwargs))
        self._send(at_least=_IN_A_CALL)
        return handle

    async def aenqueue[**Q, S](self, task: Task[Q, Any, S], /, *args: Q.args, **kwargs: Q.kwargs) -> Handle[S]:
        """Like `enqueue`, for async code."""
        return await off_loop(self.enqueue, task, *args, **kwargs)

    def enqueue_many(self, task: Task[..., Any, Any], items: Iterable[Mapping[str, Any]]) -> int:
        """Add a member for each item, a dict of arguments. Returns how many there were.

        They are taken one by one, and sent a thousand at a time, so there may be more than fit into memory. Raises what
        `enqueue` raises, and what `items` raises: no callback comes if the error leaves the block, though members may
        have been sent. If the block catches it, the members are those that came before.
        """
        count = 0
        for item in items:
            self._add(task, _arguments_of(task, item))
            count += 1
            self._send(at_least=_AT_ONCE)
        self._send(at_least=1)
        return count

    async def aenqueue_many(self, task: Task[..., Any, Any], items: Iterable[Mapping[str, Any]]) -> int:
        """Like `enqueue_many`, for async code. Another thread takes the items."""
        return await off_loop(self.enqueue_many, task, items)

    def _add[S](self, task: Task[..., Any, S], arguments: Mapping[str, Any]) -> Handle[S]:
        _check_member(task)
        leaving.check(task.queue, self._queue, f"a member of {task.name!r} can't call the batch's callbacks: they are")
        entered = self._entered
        with self._lock:
            if self._state != "open":
                raise BatchError("the batch's block is over: members are added in it")
            if self._has_failed:
                raise BatchError("members of this batch were not sent, so no callback comes: begin it again")
            if self._count >= MOST_MEMBERS:
                raise BatchError(f"a batch has {MOST_MEMBERS:,} members at most")
            member = entered.member(self._count)
            made = task.composed(arguments, derived(entered.id, entered.epoch, self._count), batch=member)
            self._count += 1
            if not entered.is_sealed:
                self._waiting.append((*made, arguments))
        return made[1]

    def _send(self, *, at_least: int) -> None:
        with self._lock:
            if len(self._waiting) < at_least:
                return
            sending, self._waiting = self._waiting, []
            self._sending += 1
        is_sent = False
        try:
            refusals = send_many([parcel for parcel, _, _ in sending])
            is_sent = not any(refusals)
        finally:
            with self._lock:
                self._has_failed = self._has_failed or not is_sent
                self._sending -= 1
                self._lock.notify_all()
        if not is_sent:
            pairs = list(zip(sending, refusals, strict=True))
            raise PartialFailureError(
                sending[0][0].message.task,
                [handle for (_, handle, _), refusal in pairs if refusal is None],
                [(dict(arguments), refusal) for (_, _, arguments), refusal in pairs if refusal is not None],
            )

    def __enter__(self) -> Self:
        if self._state != "new":
            raise BatchError("a batch is entered once: make another one")
        name = name_of([bound.task.name if bound is not None else "" for bound in (self._then, self._dead)], self.key)
        batch_id = f"{self._queue.name}#{name}"
        kept = {
            which: stored(bound.task.composed(bound.arguments, derived(batch_id, which))[0])
            for which, bound in (("then", self._then), ("dead", self._dead))
            if bound is not None
        }
        then, dead = kept.get("then", ""), kept.get("dead", "")
        self._root = root.enter(batch_id, then=then, dead=dead, key=self.key or "")
        self._state = "open"
        if (run := running.current()) is not None:
            run.open_batches += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if (run := running.current()) is not None:
            run.open_batches -= 1
        try:
            self._leave(has_error=kind is not None)
        except Exception:
            self._forget()
            raise
        finally:
            self._state = "over"
        if isinstance(error, Exception):
            self._forget()

    def _leave(self, *, has_error: bool) -> None:
        """Send the last members, and seal the batch, unless an error leaves the block."""
        entered = self._entered
        with self._lock:
            # Another thread may still add and send: what comes from now on is refused, what it has begun is waited for.
            self._state = "closing"
        if has_error:
            return
        self._refuse_unsent()
        self._send(at_least=1)
        with self._lock:
            self._lock.wait_for(lambda: not self._sending)
        self._refuse_unsent()
        if entered.is_sealed:
            return
        if not callbacks.seal(entered, self._count, self._late_after):
            raise BatchError(
                "another program has begun to fill a batch of the same key since: no callback comes for this one"
            )

    def _refuse_unsent(self) -> None:
        if self._has_failed:
            raise BatchError(
                "members of this batch were not sent, and the error was caught in its block: no callback comes"
            )

    def _forget(self) -> None:
        """After an error that leaves the block, nobody waits for the batch: it never counts as late."""
        if self.duplicate:
            return
        try:
            root.leave_index(self._entered)
        except Exception as error:  # noqa: BLE001 - the error that leaves the block says more
            logger.warning("batch not given up", extra={"error": error_type(error)})

    async def __aenter__(self) -> Self:
        return await off_loop(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await off_loop(self.__exit__, kind, error, traceback)

    def __repr__(self) -> str:
        return f"<batch {self._root.id if self._root is not None else 'not entered'}>"


def batch(
    *,
    then: Bound[Any] | None = None,
    dead: Bound[Any] | None = None,
    key: str | None = None,
    late_after: timedelta = LATE_AFTER,
) -> Batch:
    """A batch, to be filled in a `with` block, or with `async with`. Nothing is sent before.

    then: enqueued once, when all members have succeeded, also for a batch without members. dead: enqueued once, at the
    first member that becomes a dead letter, is cancelled, or expires; redriven, it may still succeed, and then `then`
    comes. At least one of the two; both on one queue. In them, `ctx.batch` is this batch.

    key: a batch with the same key, whose first callback is the same task, is filled once. Without a key, a batch that a
    task fills belongs to that task's message: an attempt after a failed one begins it again, and one after it was
    sealed sends nothing. So a task that fills several batches with the same callbacks gives each a key.

    late_after: how long after it is sealed an alarm says that it hasn't ended.

    Raises TypeError or ValueError for a wrong argument, with the cure.
    """
    return Batch(then, dead, key, late_after)


def batch_of(batch_id: str) -> KnownBatch:
    """The batch that has this id, in any process. Raises ValueError for a text that is no id of a batch."""
    given: object = batch_id
    if not isinstance(given, str) or not all(given.partition("#")):
        raise ValueError(f"{batch_id!r} is no id of a batch: write batch.id, or ctx.batch.id")
    return KnownBatch(batch_id)


def _queue_of(then: object, dead: object) -> Queue:
    if then is None and dead is None:
        raise TypeError("batch(...) takes a callback: then=task.bind(...), dead=task.bind(...), or both")
    queues: list[Queue] = []
    for name, bound in (("then", then), ("dead", dead)):
        if bound is None:
            continue
        if not isinstance(bound, Bound):
            raise TypeError(f"{name} is {type(bound).__name__}: write {name}=task.bind(...)")
        if bound.results:
            raise TypeError(f"{name}: RESULT is for the steps of a chain; a callback has ctx.batch")
        if bound.task.unique is not None or bound.task.debounce is not None:
            raise TypeError(
                f"{name}: the task {bound.task.name!r} is {'unique' if bound.task.unique else 'debounced'}, so its "
                "call may be skipped: give another task"
            )
        if bound.task.has_time:
            raise TypeError(
                f"{name}: options(at=...) or a time in expires= says when, and nobody knows when the batch ends: write "
                "a delay, or expires=timedelta(...)"
            )
        queues.append(bound.task.queue)
    if len({queue.name for queue in queues}) > 1:
        raise ValueError(
            f"then is on the queue {queues[0].name!r}, and dead on {queues[1].name!r}: both must be on one queue"
        )
    return queues[0]


def _check_member(task: object) -> None:
    if not isinstance(task, Task):
        raise TypeError(f"a batch takes a task and its arguments, not {type(task).__name__}: batch.enqueue(task, ...)")
    if task.unique is not None or task.debounce is not None:
        raise TypeError(
            f"task {task.name!r} is {'unique' if task.unique else 'debounced'}: one that is skipped would end nothing, "
            "and the batch would never be complete. Give the task a key= instead"
        )


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key:
        raise TypeError(f"key is {key!r}: write a text, which isn't empty")
    size = len(key.encode(errors="surrogatepass"))
    if size > MOST_KEY_BYTES or any("\ud800" <= letter <= "\udfff" for letter in key):
        raise ValueError(f"a batch's key has {MOST_KEY_BYTES} bytes at most, and no half of a surrogate pair")


def _arguments_of(task: Task[..., Any, Any], item: object) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise InvalidArgumentsError(
            f"task {task.name!r}: enqueue_many takes a dict of arguments for each member, and got {type(item).__name__}"
        )
    return task.signature.named((), dict(item))
