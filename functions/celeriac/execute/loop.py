"""Async tasks: one event loop for all of them, in a separate thread, and the watch that finds who blocks it.

A task that blocks the loop, with `time.sleep` for instance, stops all async tasks of the worker. That time is charged
to the blocking task: the others get it back, as far as the invocation has it. If the loop doesn't turn any more after
the blocking task has overrun, the loop is lost. It isn't replaced: what tasks and libraries have made on it, such as
connections and locks, works on no other loop. Its tasks are given up without a charge, and the worker ends
(celeriac/execute/ending.py).
"""

import inspect
import threading
import time
from collections.abc import Awaitable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from celeriac.execute.call import LoopBlockedError, Result, TaskCancelledError, TaskTimeoutError, WorkerEndsError
from celeriac.model.failure import error_place, error_type
from celeriac.model.forks import after_fork_in_child
from celeriac.model.stop import Stop
from celeriac.observe import running
from celeriac.observe.log import logger
from celeriac.observe.running import RunInfo

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# How often the watch looks at the loop while tasks run on it. A loop that answers within this time isn't blocked.
TICK_SECONDS = 0.1
# A loop that has been blocked for this long, by a task that has overrun, is lost.
LOST_AFTER_SECONDS = 0.5


class _OnLoop(Struct, eq=False):
    """An awaitable on the loop."""

    run: RunInfo | None
    has_begun: bool
    stop: Stop | None = None
    started: float = field(default_factory=time.monotonic)
    kept_waiting: float = 0.0
    """The seconds in which others blocked the loop."""
    is_given_up: bool = False
    """Whether the loop was lost."""
    is_cut_off: bool = False
    """Whether its worker was told to end."""
    future: "Future[Result]" = field(default_factory=Future)


def wait_for(
    awaitable: Awaitable[Any],
    limit: timedelta,
    seconds: float,
    most: float,
    *,
    has_begun: bool,
    stop: Stop | None = None,
) -> Any:
    """Return the result of `awaitable`.

    seconds: what is left of `limit`. Time in which other tasks block the loop is added, up to `most` seconds in all.
    has_begun: whether code of the task has run already.
    stop: once it is asked, the task gets a CancelledError.

    Raises TaskTimeoutError; LoopBlockedError if other tasks took the time; WorkerEndsError after `cut_off`;
    TaskCancelledError; and any error that `awaitable` raises.
    """
    # Imported here because the import adds 17 ms to a cold start, and most workers run only sync tasks.
    import asyncio  # noqa: PLC0415

    loops = _loops
    mine = _OnLoop(running.current(), has_begun, stop)
    loops.start(awaitable, mine)
    until = mine.started + min(seconds, most)
    try:
        while True:
            try:
                result, error = mine.future.result(max(until - time.monotonic(), 0))
                break
            except (asyncio.CancelledError, CancelledError) as cancelled:
                if mine.is_given_up:
                    raise LoopBlockedError(has_begun=mine.has_begun) from None
                if mine.is_cut_off:
                    raise WorkerEndsError(has_begun=mine.has_begun) from None
                raise TaskCancelledError("the task was cancelled") from cancelled
            except FutureTimeoutError:
                now, due = time.monotonic(), mine.started + seconds + mine.kept_waiting
                until = min(due, mine.started + most)
                if until > now:
                    continue
                mine.future.cancel()
                loops.doubt()
                if due > now and mine.kept_waiting:
                    raise LoopBlockedError(has_begun=mine.has_begun) from None
                raise TaskTimeoutError(limit) from None
    finally:
        loops.ended(mine)
    if isinstance(error, asyncio.CancelledError):
        raise TaskCancelledError("the task was cancelled") from error
    if error is not None:
        raise error
    return result


def is_lost(within: timedelta = timedelta()) -> bool:
    """Whether async tasks can't run in this worker any more. After an overrun, waits up to `within` for the answer."""
    return _loops.is_lost or (_loops.is_doubted and _loops.turns_out_lost(within.total_seconds()))


def cut_off() -> None:
    """Cancel all that runs on the loop: its worker ends. Nothing waits for the tasks any more."""
    _loops.cut_off()


def forget() -> None:
    """Leave the loop to itself: the next async task gets a new one, as in a new worker."""
    global _loops  # noqa: PLW0603 - the process has one
    _loops.leave()
    _loops = _Loops()


async def _contained(awaitable: Awaitable[Any], mine: _OnLoop) -> Result:
    """Return the result or the error as a value: asyncio would let SystemExit and KeyboardInterrupt end the loop."""
    import asyncio  # noqa: PLC0415 - see wait_for

    mine.has_begun = True
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if mine.stop is not None and task is not None:
        mine.stop.interrupt_with(lambda: loop.call_soon_threadsafe(task.cancel))
    try:
        return await awaitable, None
    except BaseException as error:  # noqa: BLE001 - wait_for raises it again
        return None, error
    finally:
        if mine.stop is not None:
            mine.stop.interrupt_with(None)


class _Loops:
    """The worker's loop, the awaitables on it, and the watch."""

    def __init__(self) -> None:
        self.is_lost = False
        self._lock = threading.Lock()
        self._loop: AbstractEventLoop | None = None
        self._on_loop: set[_OnLoop] = set()
        self._asked_at: float | None = None
        """When the loop was asked for the answer that it owes."""
        self._doubted_at: float | None = None
        """When a task overran, if the loop has not turned since."""
        self._is_watched = threading.Event()
        self._is_left = False

    @property
    def is_doubted(self) -> bool:
        """Whether a task has overrun and the loop has not turned since. Each message asks this, so it takes no lock."""
        return self._doubted_at is not None

    def start(self, awaitable: Awaitable[Any], mine: _OnLoop) -> None:
        """Put `awaitable` on the loop. Raises LoopBlockedError if the loop is lost."""
        import asyncio  # noqa: PLC0415 - see wait_for

        with self._lock:
            if self.is_lost:
                _close(awaitable)
                raise LoopBlockedError(has_begun=mine.has_begun)
            if self._loop is None:
                self._loop = _started()
                threading.Thread(target=self._watch, name="watch of async tasks", daemon=True).start()
            mine.future = asyncio.run_coroutine_threadsafe(_contained(awaitable, mine), self._loop)
            self._on_loop.add(mine)
        if not self._is_watched.is_set():
            self._is_watched.set()

    def ended(self, mine: _OnLoop) -> None:
        """Note that nothing waits for `mine` any more."""
        with self._lock:
            self._on_loop.discard(mine)

    def doubt(self) -> None:
        """Note that a task has overrun: if the loop doesn't turn, nothing else will unblock it."""
        with self._lock:
            self._doubted_at = time.monotonic()
        self._is_watched.set()

    def turns_out_lost(self, seconds: float) -> bool:
        """If a task has overrun, wait up to `seconds` for the loop. Return whether it was blocked for long enough."""
        with self._lock:
            loop, asked_at = self._loop, self._asked_at
            if self._doubted_at is None or loop is None:
                return False
        blocked_since = asked_at if asked_at is not None else time.monotonic()
        needed = max(blocked_since + LOST_AFTER_SECONDS - time.monotonic(), 0)
        answered = threading.Event()
        loop.call_soon_threadsafe(answered.set)
        if answered.wait(min(needed, seconds)) or needed > seconds:
            return False
        self._lose(self._blocker())
        return True

    def cut_off(self) -> None:
        """Cancel all that runs on the loop."""
        with self._lock:
            on_loop = list(self._on_loop)
        for each in on_loop:
            each.is_cut_off = True
            each.future.cancel()

    def leave(self) -> None:
        """Let the watch end."""
        self._is_left = True
        self._is_watched.set()

    def _watch(self) -> None:
        """Ask the loop for an answer again and again, while tasks run on it or it is in doubt."""
        while not self._is_left:
            self._is_watched.wait()
            # Most calls are over before this ends, and are never looked at. So a call wakes this thread at most once.
            time.sleep(TICK_SECONDS)
            with self._lock:
                if not self._on_loop and self._doubted_at is None:
                    self._is_watched.clear()
                    continue
            self._ask()

    def _ask(self) -> None:
        """Wait until the loop answers. Meanwhile charge the task that blocks it."""
        answered = threading.Event()
        asked_at = seen = self._asked_at = time.monotonic()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(answered.set)
        while not answered.wait(TICK_SECONDS) and not self._is_left:
            now = time.monotonic()
            blocker = self._blocker()
            self._charge(blocker, now, now - seen)
            if not self.is_lost and now - asked_at >= LOST_AFTER_SECONDS and self._has_overrun(blocker):
                self._lose(blocker)
            seen = now
        with self._lock:
            self._asked_at = None
            if self._doubted_at is not None and self._doubted_at <= asked_at:
                self._doubted_at = None

    def _charge(self, blocker: RunInfo | None, now: float, seconds: float) -> None:
        """Give the time back to all but the blocker. If nobody knows who blocks, nobody gets it back."""
        if blocker is None:
            return
        with self._lock:
            for other in self._on_loop:
                if other.run is not blocker:
                    other.kept_waiting += min(seconds, now - other.started)

    def _has_overrun(self, blocker: RunInfo | None) -> bool:
        """Whether a task has overrun and the one that blocks has no time left."""
        with self._lock:
            return self._doubted_at is not None and not any(
                blocker is not None and other.run is blocker for other in self._on_loop
            )

    def _blocker(self) -> RunInfo | None:
        """The run whose code the loop is in now. Code that a run started as another asyncio task is its own too."""
        import asyncio  # noqa: PLC0415 - see wait_for

        task = asyncio.current_task(self._loop) if self._loop is not None else None
        return running.of(task.get_context()) if task is not None else None

    def _lose(self, blocker: RunInfo | None) -> None:
        with self._lock:
            self.is_lost = True
            for waiting in self._on_loop:
                waiting.is_given_up = True
                waiting.future.cancel()
        fields = {f"blocking_{name}": value for name, value in blocker.fields.items()} if blocker is not None else {}
        logger.error("an async task blocks the event loop, and has overrun: the loop is lost", extra=fields)


def _close(awaitable: Awaitable[Any]) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()  # it won't be awaited


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
