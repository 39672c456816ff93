"""Running a task's function under a time limit: sync ones in threads, async ones on one loop.

A thread can't be stopped. A sync task that overruns goes on in the background, fenced off by its lost lease, until it
ends or Lambda stops the worker; an async one is cancelled.
"""

import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from celeriac.failure import error_place, error_type
from celeriac.log import logger

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# Threads are made when needed and kept; what overran occupies one. Far above any queue's concurrency.
MOST_THREADS = 512
# A loop that is only busy answers within this time.
ANSWER_SECONDS = 0.2


class WorkerLost(BaseException):
    """The worker itself is ending: whatever runs in it must not be settled, SQS delivers it again."""


class Overran(Exception):  # noqa: N818 - what it did
    """The task had not ended when its time was up."""


class Cancelled(Exception):  # noqa: N818 - what it was
    """The task was cancelled, by itself or by a library that it uses."""


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, limit: timedelta) -> Any:
    """The result of `function`, awaited where need be. Raises Overran after `limit`, and what the function raises."""
    if inspect.iscoroutinefunction(function):
        return _on_loop(function(*args, **kwargs), limit)
    result = _wait(_threads().submit(function, *args, **kwargs), limit)
    return _on_loop(_awaited(result), limit) if inspect.isawaitable(result) else result


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def _wait(future: Future[Any], limit: timedelta) -> Any:
    try:
        return future.result(limit.total_seconds())
    except FutureTimeoutError:
        if future.done():
            raise  # the task's own
        raise Overran(f"it was not over after {limit.total_seconds():.1f} s") from None
    except BaseException as error:
        if future.done():
            raise  # the task's own
        raise WorkerLost from error  # a signal, such as Ctrl-C, to us who wait


def _on_loop(coroutine: Coroutine[Any, Any, Any], limit: timedelta) -> Any:
    # Imported here because it costs a cold start 17 ms, and most workers run sync tasks only.
    import asyncio  # noqa: PLC0415

    loop = _loop()
    future = asyncio.run_coroutine_threadsafe(_contained(coroutine), loop)
    try:
        result, error = _wait(future, limit)
    except Overran:
        future.cancel()
        _replace_if_blocked(loop)
        raise
    except (asyncio.CancelledError, CancelledError) as cancelled:
        raise Cancelled("the task was cancelled") from cancelled
    if isinstance(error, asyncio.CancelledError):
        raise Cancelled("the task was cancelled") from error
    if error is not None:
        raise error
    return result


async def _contained(coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    """Its result, or what it raised: asyncio lets SystemExit and KeyboardInterrupt end the loop of all tasks."""
    try:
        return await coroutine, None
    except BaseException as error:  # noqa: BLE001 - raised again where the task is waited for
        return None, error


def _replace_if_blocked(loop: "AbstractEventLoop") -> None:
    """A task that blocks its loop blocks every other async task: the next ones get a new one."""
    answered = threading.Event()
    loop.call_soon_threadsafe(answered.set)
    if not answered.wait(ANSWER_SECONDS):
        logger.error("an async task blocks its loop, the next ones get another")
        _loop.cache_clear()


def _log_background_error(_: object, context: dict[str, Any]) -> None:
    error = context.get("exception")
    fields = {"error": error_type(error), "where": error_place(error)} if error is not None else {}
    logger.error("a background error of an async task", extra=fields)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="task")


@cache
def _loop() -> "AbstractEventLoop":
    import asyncio  # noqa: PLC0415 - see above

    loop = asyncio.new_event_loop()
    # The default handler prints what a forgotten background task raised, whose text may hold a payload.
    loop.set_exception_handler(_log_background_error)
    threading.Thread(target=loop.run_forever, name="async tasks", daemon=True).start()
    return loop
