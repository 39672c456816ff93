"""A task that was enqueued, as its sender sees it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Never

from msgspec import Struct

from celeriac.aws import pause
from celeriac.declare.reference import Reference
from celeriac.declare.signature import InvalidArgumentsError, Signature
from celeriac.execute.off_loop import off_loop
from celeriac.leases.states import RETRYING
from celeriac.leases.status import Status, of_record
from celeriac.model import celery_names
from celeriac.model.errors import CeleriacError
from celeriac.model.failure import Failure
from celeriac.model.guarantee import Guarantee
from celeriac.model.limits import Limit
from celeriac.model.queue import Queue
from celeriac.model.reason import Reason

# What a handle is known by. The other fields follow from its task, or belong to this release.
_KNOWN_BY = ("id", "key", "task", "queue", "guarantee", "due")
# The waits between two polls: short at first, longer if the task takes long. Those of `result()`, in seconds.
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS, POLL_FACTOR = 0.5, 5.0, 1.3
# Those of `aresult()`: somebody waits for the answer, and meanwhile no thread does.
FIRST_ASYNC_POLL_SECONDS, LONGEST_ASYNC_POLL_SECONDS = 0.2, 2.0


class TaskFailedError(CeleriacError, RuntimeError):
    """The task is a dead letter, or was cancelled (then it is a TaskCancelled); `failure` says why."""

    def __init__(self, task: str, failure: Failure | None) -> None:
        if failure is None:
            said = "is a dead letter, no reason is known"
        elif failure.is_cancelled:
            why = "" if failure.reason == Reason.CANCELLED else f"{failure.reason}: "
            said = f"was cancelled: {why}{failure.message}"
        else:
            said = f"is a dead letter, {failure.reason}: {failure.type}: {failure.message}"
        super().__init__(f"task {task!r} {said}")
        self.failure = failure


class TaskCancelled(TaskFailedError):  # noqa: N818 - it is no fault: nobody wants the work any more
    """The task was cancelled, or expired before it started; `failure` says which of the two."""


class Superseded(CeleriacError, RuntimeError):  # noqa: N818 - it is no fault: another message's arguments run
    """A debounced task's message doesn't run, because newer arguments have come."""


class ResultNotKeptError(CeleriacError, RuntimeError):
    """The task has succeeded, but its result isn't stored or can't be read; the text says why."""


class Waits:
    """The waits between polls, until `timeout` has passed."""

    def __init__(
        self, timeout: timedelta | float, first: float = FIRST_POLL_SECONDS, longest: float = LONGEST_POLL_SECONDS
    ) -> None:
        self._timeout = timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout)
        self._deadline = datetime.now(UTC) + self._timeout
        self._wait, self._longest = first, longest

    def after(self, state: str) -> float:
        """Return how many seconds to wait for the next poll. Raises TimeoutError, which says what the `state` is."""
        left = (self._deadline - datetime.now(UTC)).total_seconds()
        if left <= 0:
            raise TimeoutError(f"{state} after {self._timeout}")
        wait, self._wait = min(self._wait, left), min(self._wait * POLL_FACTOR, self._longest)
        return wait


class Handle[R](Struct, frozen=True):
    """A task that was enqueued, or may have been. `R` is the type of its result."""

    id: str
    """The id of the task's message; empty for a handle that was made for a key."""
    key: str
    """The task's idempotency key, `<task>:<value>`."""
    task: str
    """The task's name."""
    queue: Queue
    guarantee: Guarantee
    _signature: Callable[[], Signature]
    due: datetime | None = None
    """When the message is due; None for a handle that was made without sending."""
    former_queues: Sequence[Queue] = ()
    """The queues where the message may lie too: its task was moved away from them."""

    _former_key: str | None = None
    """The key under which an older release may have recorded the same work."""
    _limits: Sequence[Limit] = ()
    """The limits of its task."""
    _limited_by: Mapping[str, str] = {}
    """What its arguments say of those limits that have a `by`, if they are known."""

    _debounced_by: Callable[[], str] | None = None
    """The values by which a debounced message is held against others, if the arguments are known."""
    duplicate: bool = False
    """Whether nothing was sent, or nothing of it will run, because the message of this handle does the same work: its
    task is `Unique`, and this one waits or runs."""

    def __repr__(self) -> str:
        return f"Handle({self.ref!r})"

    def __eq__(self, other: object) -> bool:
        return self._compared == other._compared if isinstance(other, Handle) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._compared)

    @property
    def _compared(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in _KNOWN_BY)

    @property
    def all_queues(self) -> tuple[Queue, ...]:
        """The queues where the message may lie."""
        return (self.queue, *self.former_queues)

    @property
    def is_at_least_once(self) -> bool:
        """Whether the task keeps no record of its success."""
        return self.guarantee == "at_least_once"

    @property
    def ref(self) -> str:
        """One word that names task, id and key. Keep it: `celeriac.handle(ref)` returns this handle again.

        The word contains the key as it is, percent-encoded.
        """
        return str(Reference(self.task, self.id, self.key.removeprefix(f"{self.task}:"), self.due))

    @property
    def duplicate_of(self) -> str | None:
        """The id of the message of the same idempotency key that ran instead of this one; None if there is none."""
        return self._stored().duplicate_of

    def status(self) -> Status:
        """The task's status, by strongly consistent reads of its record and, if the record doesn't tell, of its note.

        If the note doesn't tell either and the dead-letter queue isn't empty, up to 100 of its letters are received.
        Without the permission to receive from that queue, this step is left out.

        If the task hasn't started and has limits, each is read too, for `waits_for`. One with a `by` is read by the
        handle that the enqueue returned, and not by one that was made of a reference, a key or an id. Without the
        permission to read the limits, this step is left out.
        """
        known = self._stored()
        if not self._limits or known.state not in {"queued", "retrying"}:
            return known
        from celeriac.declare import lookup  # noqa: PLC0415 - as below

        return lookup.held_up(known, self._limits, self._limited_by)

    def recorded(self) -> tuple[str, Mapping[str, Any]]:
        """The key under which the task is recorded, and the record; empty if there is none."""
        from celeriac.declare import lookup  # noqa: PLC0415 - as below

        record = lookup.record(self.task, self.key, self.queue, self.guarantee)
        if not record and self._former_key is not None:
            former = lookup.record(self.task, self._former_key, self.queue, self.guarantee)
            return (self._former_key, former) if former else (self.key, record)
        return self.key, record

    def _stored(self) -> Status:
        """The status without what limits say."""
        # This loads DynamoDB's client and Powertools, which a producer that only enqueues doesn't need.
        from celeriac.declare import lookup  # noqa: PLC0415

        _, record = self.recorded()
        known = of_record(record, self.id, self.queue, once=self.guarantee == "at_most_once")
        if known is not None and known.duplicate_of is not None:
            return lookup.mismatch(self.all_queues, self.task, self.id, known) or known
        # Between two parts it is called running, and its message may have become a dead letter as any other.
        is_between = known is not None and known.state == "running" and record.get("status") == RETRYING
        if known is not None and known.state != "retrying" and not is_between:
            return known
        if known is not None and not _is_past(known.due):
            return self._superseded(known) or known
        dead = lookup.dead_letter(self.task, self.id, *self.all_queues) if self.id else None
        if dead is not None and dead.state in {"dead", "cancelled"}:
            return dead
        if (superseded := self._superseded(known)) is not None:
            return superseded
        if dead is not None and self._is_old:
            return dead
        return known or self._unrecorded()

    def cancel(self, why: str = "", *, by: str = "") -> bool:
        """Cancel the task: it doesn't start any more, and isn't tried again. One that runs is asked to stop.

        A task that is asked to stop sees `ctx.cancelled` within ten seconds, and an async one gets a CancelledError.
        If it ends with success nevertheless, it has succeeded. An at_most_once task can't be cancelled once it runs.

        This is about this message, not about its key: another message of the key runs. why, by: what happened and who
        says so, for `status().cancellation`; by default the program's user or function.

        Returns False if the task has ended before, or runs and can't be stopped. Raises TypeError for an at_least_once
        task; ValueError for a text of more than 500 characters, or if 1,000 messages of its key are cancelled already;
        and LookupError if the handle was made for a key of which nothing is stored. Costs one write.
        """
        # This loads DynamoDB's client and Powertools, which a producer that only enqueues doesn't need.
        from celeriac.declare import stopping  # noqa: PLC0415

        stopping.check(self.task, self.guarantee, why=why, by=by)
        message_id, key = self.id, self.key
        if not message_id or self._former_key is not None:
            key, record = self.recorded()
            message_id = message_id or str(record.get("task_id", ""))
        return stopping.cancel(self.task, message_id, key, self.queue, self.guarantee, why=why, by=by)

    async def acancel(self, why: str = "", *, by: str = "") -> bool:
        """Like `cancel`, for async code: the calls to AWS run in a thread, so they don't block the event loop."""
        return await off_loop(self.cancel, why, by=by)

    def _superseded(self, known: Status | None) -> Status | None:
        """The status of a message of a debounced task if newer arguments have come; None if they haven't."""
        # An at_least_once task keeps no record of its success: it may have run before the newer ones came.
        if self._debounced_by is None or self.due is None or self.is_at_least_once:
            return None
        # This loads DynamoDB's client, which a producer that only enqueues doesn't need.
        from celeriac.declare import lookup  # noqa: PLC0415

        if not lookup.has_newer(self.queue, self.task, self._debounced_by(), self.id, self.due):
            return None
        attempts, failure = (known.attempts, known.failure) if known is not None else (0, None)
        return Status("superseded", attempts, failure=failure, id=self.id)

    async def astatus(self) -> Status:
        """Like `status`, for async code: the calls to AWS run in a thread, so they don't block the event loop."""
        return await off_loop(self.status)

    @property
    def _is_old(self) -> bool:
        """Whether SQS may have moved the message to the dead-letter queue: SQS does so only after some receives."""
        return self.due is None or self.due + self.queue.visibility < datetime.now(UTC)

    def _unrecorded(self) -> Status:
        """The status of a message about which nothing is stored."""
        return Status("queued", id=self.id, due=self.due) if self._may_come else Status("unknown")

    @property
    def _may_come(self) -> bool:
        """Whether the message may still be in its queue.

        It was sent, SQS still keeps it, and either it isn't due yet or its success would be stored.
        """
        now = datetime.now(UTC)
        if self.due is None or self.due + self.queue.retention < now:
            return False
        return self.due > now or not self.is_at_least_once

    def result(self, timeout: timedelta | float = timedelta(seconds=30)) -> R:
        """Wait until the task has succeeded, and return its result: as the annotated type, or else as JSON types.

        timeout: how long to wait, a timedelta or seconds.

        Raises TaskFailedError if the task is a dead letter; TaskCancelled, which is one too, if it was cancelled or has
        expired; Superseded if the task is debounced and newer arguments
        have come; ResultNotKeptError if it succeeded but its result isn't
        stored, or isn't of the annotated type; TimeoutError after `timeout`; TypeError for an at_least_once task, which
        keeps no result; LookupError if nothing is known of the task, so that there is nothing to wait for.
        """
        waits = Waits(timeout)
        while not self._has_succeeded(status := self._stored()):
            pause.wait(waits.after(f"task {self.task!r} is {status.state}"))
        return self._read(status)

    async def aresult(self, timeout: timedelta | float = timedelta(seconds=30)) -> R:  # noqa: ASYNC109 - as its twin
        """Like `result`, for async code: it doesn't block the event loop, and looks more often, 0.2 to 2 seconds apart.

        Each look is a read or two. If this is cancelled, the task goes on. Raises what `result` raises.
        """
        waits = Waits(timeout, FIRST_ASYNC_POLL_SECONDS, LONGEST_ASYNC_POLL_SECONDS)
        while not self._has_succeeded(status := await off_loop(self._stored)):
            await pause.sleep(waits.after(f"task {self.task!r} is {status.state}"))
        return self._read(status)

    def _has_succeeded(self, status: Status) -> bool:
        """Whether there is a result. Raises an error if there is nothing to wait for."""
        if status.state == "cancelled":
            raise TaskCancelled(self.task, status.failure)
        if status.state == "dead":
            raise TaskFailedError(self.task, status.failure)
        if status.state == "superseded":
            raise Superseded(f"task {self.task!r} doesn't run for this message: newer arguments have come")
        if status.state == "unknown" and not self._may_come:
            self._give_up()
        return status.state == "succeeded"

    def _read(self, status: Status) -> R:
        signature = self._signature()
        if status.not_kept is not None and not signature.returns_nothing:
            raise ResultNotKeptError(f"task {self.task!r} succeeded, its result was not kept: {status.not_kept}")
        try:
            result: R = signature.result(status.result)
        except InvalidArgumentsError as error:
            raise ResultNotKeptError(f"{error}; status().result has it as JSON types") from error
        return result

    def _give_up(self) -> Never:
        if self.is_at_least_once:
            raise TypeError(f"task {self.task!r} is at_least_once: no result of it is kept")
        raise LookupError(
            f"nothing is known of task {self.task!r}, {self.id or self.key}: it was never sent, or so long ago that "
            "nothing is stored of it"
        )


for _name, _cure in celery_names.HANDLE.items():
    setattr(Handle, _name, celery_names.Missing(_name, _cure, "handle"))


def _is_past(due: datetime | None) -> bool:
    return due is None or due < datetime.now(UTC)
