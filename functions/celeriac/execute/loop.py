"""Async tasks: one loop for all of them, in a thread of its own."""

import threading
from collections.abc import Awaitable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celeriac.execute.call import Result, TaskCancelledError, TaskTimeoutError
from celeriac.model.failure import error_place, error_type
from celeriac.observe.log import logger

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# A loop that is only busy answers within this time.
ANSWER_SECONDS = 0.2


def wait_for(awaitable: Awaitable[Any], limit: timedelta, seconds: float) -> Any:
    """Its result.

    Raises TaskTimeoutError after `seconds`, what is left of `limit`; TaskCancelledError; and what it raises itself.
    """
    # Imported here because it costs a cold start 17 ms, and most workers run sync tasks only.
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
    """Its ending as a value: asyncio lets SystemExit and KeyboardInterrupt end the loop of all tasks."""
    try:
        return await awaitable, None
    except BaseException as error:  # noqa: BLE001 - raised again where the task is waited for
        return None, error


class _Loops:
    """The loop that async tasks run on. One that a task blocks, and every other async task with it, is replaced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: AbstractEventLoop | None = None
        self._answered: threading.Event | None = None

    def current(self) -> "AbstractEventLoop":
        """The loop to use, a new one if the last one is blocked."""
        with self._lock:
            if self._answered is not None and not self._answered.wait(ANSWER_SECONDS):
                logger.error("an async task blocks its loop, the next ones get another")
                self._loop = None
            self._answered = None
            if self._loop is None:
                self._loop = _started()
            return self._loop

    def doubt(self, loop: "AbstractEventLoop") -> None:
        """A task has overrun on `loop`: ask it for a sign, which the next task looks for."""
        with self._lock:
            if loop is self._loop and self._answered is None:
                self._answered = threading.Event()
                loop.call_soon_threadsafe(self._answered.set)


def _started() -> "AbstractEventLoop":
    import asyncio  # noqa: PLC0415 - see above

    loop = asyncio.new_event_loop()
    # The default handler prints what a forgotten background task raised, whose text may hold a payload.
    loop.set_exception_handler(_log_background_error)
    threading.Thread(target=loop.run_forever, name="async tasks", daemon=True).start()
    return loop


def _log_background_error(_: object, context: dict[str, Any]) -> None:
    error = context.get("exception")
    fields = {"error": error_type(error), "where": error_place(error)} if error is not None else {}
    logger.error("a background error of an async task", extra=fields)


_loops = _Loops()
