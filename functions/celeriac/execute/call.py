"""The steps of a run: a turn, and the call of a task's function. The thread that drives the run sends back results."""

from collections.abc import Callable, Generator
from contextvars import Context
from datetime import timedelta
from typing import Any

from msgspec import Struct

from celeriac.model.errors import CeleriacError
from celeriac.model.stop import Stop
from celeriac.observe.running import RunInfo


class WorkerLost(BaseException):
    """The worker itself is ending. Messages that it is running must not be settled: SQS delivers them again."""


class TaskTimeoutError(CeleriacError):
    """The task had not ended at its time limit.

    `runs_on` says whether its call goes on in a thread that was left behind.
    """

    def __init__(self, limit: timedelta, *, runs_on: bool = False) -> None:
        super().__init__(
            f"it was not over after {limit.total_seconds():.1f} s; raise the timeout of its @task, or of its queue"
        )
        self.runs_on = runs_on


class CutOffError(CeleriacError):
    """Something other than the task itself has ended its run early. The run isn't charged.

    `has_begun` says whether any of the task's code has run.
    """

    why: str

    def __init__(self, *, has_begun: bool) -> None:
        super().__init__(self.why)
        self.has_begun = has_begun


class LoopBlockedError(CutOffError):
    """Other tasks blocked the event loop, so this one could not end."""

    why = "another task blocked the event loop of its worker"


class WorkerEndsError(CutOffError):
    """The worker was told to end, and the task had not ended by then."""

    why = "its worker was told to end, and it had not ended by then"


class TaskCancelledError(CeleriacError):
    """The task was cancelled, by itself or by a library that it uses."""


class TaskCall(Struct, frozen=True):
    """A call of a task's function: the function, its arguments, its time limit, and the run that it belongs to."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    limit: timedelta
    run: RunInfo
    most: timedelta | None = None
    """How long the call may last if other tasks keep it waiting; None: no longer than its limit."""
    context: Context | None = None
    """The context in which the call is made; None: a new one. One call after another may share it."""
    stop: Stop | None = None
    """What tells an async function that it is to end."""
    late: Callable[[], object] | None = None
    """What a thread that was left behind calls, in the same context, when the call has ended after all."""


class TakeTurn(Struct, frozen=True):
    """Wait for a turn, which a lane needs to make calls, and keeps to its end. The result says whether it has one.

    A lane that has its turn goes on at once.
    """

    seconds: float | None = None
    """How long it waits at most; None: until it has its turn; 0: it only asks whether it has it."""
    after_others: bool = False
    """Whether those that were begun have their turns first, and their ends are recorded. It gives its own turn back."""


class EndTurn(Struct, frozen=True):
    """Another lane may have the turn, while this one records its end."""


type Step = TaskCall | TakeTurn | EndTurn
"""What a lane yields."""
type Result = tuple[Any, BaseException | None]
"""What a call returned, or the error that it raised."""
type TaskCalls[T] = Generator[Step, Result, T]
"""A generator that yields turns and task calls. After a timeout of a call another thread resumes it."""
