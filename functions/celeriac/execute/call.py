"""The call of a task's function, as a step of its run: who drives the run makes the call, and sends back its ending."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celeriac.model.errors import CeleriacError
from celeriac.observe.running import Run


class WorkerLost(BaseException):
    """The worker itself is ending: whatever runs in it must not be settled, SQS delivers it again."""


class TaskTimeoutError(CeleriacError):
    """The task had not ended when its time was up."""

    def __init__(self, limit: timedelta) -> None:
        super().__init__(
            f"it was not over after {limit.total_seconds():.1f} s; raise the timeout of its @task, or of its queue"
        )


class TaskCancelledError(CeleriacError):
    """The task was cancelled, by itself or by a library that it uses."""


@dataclass(frozen=True, slots=True)
class Call:
    """A task's function, what it is called with, how long it may take, and the run that it is."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    limit: timedelta
    run: Run


type Result = tuple[Any, BaseException | None]
"""What a call returned, or what it raised."""
type Steps[T] = Generator[Call, Result, T]
"""A run that stands still at each call, so that another thread can go on with it than the one that makes the call."""
