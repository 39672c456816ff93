"""A task that was enqueued, as its sender sees it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from celeriac import pause
from celeriac.failure import Failure

if TYPE_CHECKING:
    from celeriac.task import Task

type State = Literal["queued", "running", "retrying", "succeeded", "dead", "unknown"]
POLL_SECONDS = 0.5


class TaskFailed(RuntimeError):  # noqa: N818 - what it has
    """The task is a dead letter; `failure` says why."""

    def __init__(self, task: str, failure: Failure | None) -> None:
        why = f"{failure.reason}: {failure.type}: {failure.message}" if failure is not None else "no reason is known"
        super().__init__(f"task {task!r} is a dead letter, {why}")
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a task, from what is stored for its idempotency anyway."""

    state: State
    """queued: nothing has run yet. unknown: an at_least_once task, of whose success nothing is stored."""
    attempts: int = 0
    result: Any = None
    """What the task returned, as JSON types, once it has succeeded."""
    failure: Failure | None = None
    """How its last attempt failed."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A task that was enqueued."""

    id: str
    key: str
    """Its idempotency key."""
    _task: "Task[..., Any, Any]"

    @property
    def task(self) -> str:
        """The task's name."""
        return self._task.name

    def status(self) -> Status:
        """What has become of it, by one strongly consistent read."""
        if self._task.delivery == "at_least_once":
            return Status("unknown")
        # The table's client and Powertools, which a producer that only enqueues need not load.
        from celeriac import lease  # noqa: PLC0415

        record = lease.look_up(self._task.name, self.key, self._task.queue.record_retention)
        attempts = int(record.get("attempt", 0))
        failure = msgspec.json.decode(record["failure"], type=Failure) if "failure" in record else None
        status = record.get("status")
        if status == lease.COMPLETED:
            # Also where another message of the same key has done the work.
            return Status("succeeded", attempts, msgspec.json.decode(record.get("data") or "null"))
        if not record or record.get("task_id") != self.id:
            return Status("queued")
        if status == lease.DEAD:
            return Status("dead", attempts, failure=failure)
        expiry = datetime.fromtimestamp(int(record.get("in_progress_expiration", 0)) / 1000, UTC)
        running = status == lease.INPROGRESS and expiry > datetime.now(UTC)
        return Status("running" if running else "retrying", attempts, failure=failure)

    def result(self, timeout: timedelta = timedelta(seconds=30)) -> Any:
        """What the task returns, as JSON types, once it has succeeded.

        Raises TaskFailed when it is a dead letter, TimeoutError after `timeout`, and TypeError for an at_least_once
        task, of which no result is kept.
        """
        deadline = datetime.now(UTC) + timeout
        while True:
            status = self.status()
            if status.state == "succeeded":
                return status.result
            if status.state == "dead":
                raise TaskFailed(self.task, status.failure)
            if status.state == "unknown":
                raise TypeError(f"task {self.task!r} is at_least_once: no result of it is kept")
            if datetime.now(UTC) >= deadline:
                raise TimeoutError(f"task {self.task!r} is {status.state} after {timeout}")
            pause.wait(POLL_SECONDS)
