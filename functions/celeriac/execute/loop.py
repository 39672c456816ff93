"""Async tasks: one event loop for all of them, in a separate thread."""

import threading
from collections.abc import Awaitable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celeriac.execute.call import Result, TaskCancelledError, TaskTimeoutError
from celeriac.model.failure import error_place, error_type
from celeriac.model.forks import after_fork_in_child
from celeriac.observe.log import logger

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# A loop that is busy but not blocked answers within this time.
ANSWER_SECONDS = 0.2


def wait_for(awaitable: Awaitable[Any], limit: timedelta, seconds: float) -> Any:
    """Return the result of `awaitable`.

    Raises TaskTimeoutError after `seconds`, which are left of `limit`; TaskCancelledError; and any error that
    `awaitable` raises.
    """
    # Imported here because the import adds 17 ms to a cold start, and most workers run only sync tasks.
    import asyncio  # noqa: PLC0415

    loop = _loops.current()
    future = asyncio.run_coroutine_threadsafe(_contained(awaitable), loop)
    try:
        result, error = future.result(max(seconds, 0))
    except (asyncio.CancelledError, CancelledError) as cancelled:
        raise TaskCancelledError("the task was cancelled") from cancelled
    except FutureTimeoutError:
        future.cancel()
        _loops.doubt(loop)
        raise TaskTimeoutError(limit) from None
    if isinstance(error, asyncio.CancelledError):
        raise TaskCancelledError("the task was cancelled") from error
    if error is not None:
        raise error
    return result


async def _contained(awaitable: Awaitable[Any]) -> Result:
    """Return the result or the error as a value: asyncio would let SystemExit and KeyboardInterrupt end the loop."""
    try:
        return await awaitable, None
    except BaseException as error:  # noqa: BLE001 - wait_for raises it again
        return None, error


class _Loops:
    """The loop that async tasks run on. If a task blocks the loop, it blocks all other async tasks.

    Such a loop is replaced.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: AbstractEventLoop | None = None
        self._answered: threading.Event | None = None

    def current(self) -> "AbstractEventLoop":
        """Return the loop to use: a new one if the last one is blocked."""
        with self._lock:
            if self._answered is not None and not self._answered.wait(ANSWER_SECONDS):
                logger.error("an async task blocks the event loop, later tasks get a new one")
                self._loop = None
            self._answered = None
            if self._loop is None:
                self._loop = _started()
            return self._loop

    def doubt(self, loop: "AbstractEventLoop") -> None:
        """Ask `loop`, on which a task has overrun, for an answer. The next task checks whether the loop answered."""
        with self._lock:
            if loop is self._loop and self._answered is None:
                self._answered = threading.Event()
                loop.call_soon_threadsafe(self._answered.set)


def _started() -> "AbstractEventLoop":
    import asyncio  # noqa: PLC0415 - see wait_for

    loop = asyncio.new_event_loop()
    # The default handler prints the error of a forgotten background task. The error's text may quote a payload.
    loop.set_exception_handler(_log_background_error)
    threading.Thread(target=loop.run_forever, name="async tasks", daemon=True).start()
    return loop


def _log_background_error(_: object, context: dict[str, Any]) -> None:
    error = context.get("exception")
    fields = {"error": error_type(error), "where": error_place(error)} if error is not None else {}
    logger.error("a background error of an async task", extra=fields)


_loops = _Loops()


def _renew_in_child() -> None:
    global _loops  # noqa: PLW0603 - one loop for each process
    _loops = _Loops()


after_fork_in_child(_renew_in_child)
