"""How a run hears that its task was cancelled."""

from collections.abc import Callable
from threading import Lock


class Cancelled(BaseException):
    """Ends a task as cancelled: it isn't tried again, and there is no dead letter.

    A task raises it when it sees `ctx.cancelled`, or by its own decision. A checkpoint and a progress of a sync task
    raise it, once the task is cancelled. It isn't an `Exception`, so that `except Exception` doesn't swallow it.
    """


def cancels(error: BaseException | None) -> bool:
    """Whether a run has cancelled itself. One in a task group of asyncio raises a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(Cancelled)[1] is None
    return isinstance(error, Cancelled)


class Stop:
    """Whether a run was asked to stop. Several threads may use it."""

    def __init__(self) -> None:
        self.asked = False
        self.why = ""
        """Who asked, and why."""
        self.interrupts = False
        """Whether the run is interrupted where it is, as an async task is. Any other one looks by itself."""
        self._lock = Lock()
        self._interrupt: Callable[[], object] | None = None

    def ask(self, why: str) -> None:
        """Ask the run to stop. Only the first time counts."""
        with self._lock:
            if self.asked:
                return
            self.asked, self.why = True, why
            interrupt = self._interrupt
        if interrupt is not None:
            interrupt()

    def interrupt_with(self, interrupt: Callable[[], object] | None) -> None:
        """Call this when the run is asked to stop; at once if it was asked before. None: it can't be interrupted."""
        with self._lock:
            self._interrupt = interrupt
            is_late = self.asked
        if is_late and interrupt is not None:
            interrupt()

    def check(self) -> None:
        """Raise Cancelled if the run was asked to stop, and nothing else interrupts it."""
        if self.asked and not self.interrupts:
            raise Cancelled(self.why)
