"""The threads that run a batch's lanes, and the watch that finds calls that overrun.

A thread can't be stopped. If its call overruns, the thread is left behind: another thread takes over its lane, with a
timeout as the result of the call. The call goes on in the background until it ends or Lambda stops the worker. It has
lost its lease, so it can't record or commit.

Each call runs in a context of its own (PEP 567), which is empty at first, as that of a new thread: what a call sets in
a context variable, or in decimal's context, no other call sees. The code of a lane between its calls runs in a context
of the lane.
"""

import inspect
import math
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from datetime import timedelta
from functools import cache
from threading import Condition
from typing import Any

from msgspec import Struct, field

from celeriac.execute import loop, memory
from celeriac.execute.call import Result, TaskCall, TaskCalls, TaskTimeoutError, WorkerLost
from celeriac.model.forks import after_fork_in_child
from celeriac.observe import trace

# Threads are made when needed, and reused. Each call that overran occupies one. No worker can reach this number.
MOST_THREADS = 100_000
# The watch waits at least this long between two looks at the clock, unless it is woken.
LEAST_SECONDS = 0.05


class _LeftBehind(BaseException):
    """This thread's call has overrun, and another thread has taken over its lane."""


def left_behind() -> int:
    """Return how many threads of this worker are still in a call that has overrun."""
    return len(_hanging)


def forget() -> None:
    """Count the calls that hang no more, as in a new worker."""
    _hanging.clear()


class _Lane(Struct, eq=False):
    """A lane, and the context in which its code runs, in whichever thread."""

    steps: TaskCalls[None]
    context: Context = field(default_factory=Context)

    def start(self) -> TaskCall:
        """Return the first call. Raises StopIteration if there is none."""
        return self.context.run(next, self.steps)

    def go_on(self, result: Result) -> TaskCall:
        """Return the call that follows the one with `result`. Raises StopIteration at the lane's end."""
        return self.context.run(self.steps.send, result)


class _Running(Struct, eq=False):
    """A sync call that a thread is making, and its deadline on the clock `time.monotonic()`."""

    lane: _Lane
    limit: timedelta
    until: float


# Adding and discarding are atomic, and the calls differ.
_hanging: set[_Running] = set()


class Threads:
    """At most `size` threads, each of which runs one lane after another.

    `shortest` is the shortest time limit that calls usually have. Between two looks at the clock the watch waits half
    of it.
    `limit` is how long `run` waits for the threads at most.
    """

    def __init__(self, lanes: Iterable[TaskCalls[None]], size: int, *, shortest: timedelta, limit: timedelta) -> None:
        self._lanes = deque(_Lane(lane) for lane in lanes)
        self._size = min(size, len(self._lanes))
        self._at_work = 0
        self._changed = Condition()
        self._running: set[_Running] = set()
        self._shortest_seconds = shortest.total_seconds()
        self._until = time.monotonic() + limit.total_seconds()
        self._wakes_at = math.inf
        self._ended_by: BaseException | None = None

    def run(self) -> bool:
        """Run every lane to its end. Return whether all ended in time: SQS delivers messages again that aren't settled.

        Raises WorkerLost, or any other error that escapes a lane, once no thread is at work or `limit` has passed.
        """
        try:
            with self._changed:
                for _ in range(self._size):
                    self._at_work += 1
                    _threads().submit(self._work)
                while self._at_work and time.monotonic() < self._until:
                    self._relieve_the_overdue()
                    now = time.monotonic()
                    # No call that starts later is due before this time. If each call woke this thread, that would cost
                    # a fifth of the whole consumer (benchmarks/consumer_cpu.py): this thread would take the interpreter
                    # from the tasks.
                    later = now + max(self._shortest_seconds / 2, LEAST_SECONDS)
                    self._wakes_at = min([later, self._until, *(running.until for running in self._running)])
                    self._changed.wait(self._wakes_at - now)
        except BaseException as error:  # a signal to this thread, such as Ctrl-C, or a thread that can't be started
            self._end(error)
            raise
        if self._ended_by is not None:
            raise self._ended_by
        if self._at_work:
            self._end(WorkerLost())
        return not self._at_work

    @property
    def has_ended(self) -> bool:
        """Whether the worker is ending: no further lane is started, and no further call is made."""
        return self._ended_by is not None

    def _end(self, error: BaseException) -> None:
        """Start no further lane, and make no further call of the lanes that have started."""
        self._ended_by = self._ended_by or error
        self._lanes.clear()

    def _relieve_the_overdue(self) -> None:
        for running in [running for running in self._running if running.until <= time.monotonic()]:
            _threads().submit(self._work, running.lane, (None, TaskTimeoutError(running.limit)))
            self._running.remove(running)
            _hanging.add(running)

    def _work(self, lane: _Lane | None = None, ending: Result | None = None) -> None:
        """Resume `lane` with the result `ending`, if one is given, and then run lane after lane."""
        try:
            if lane is not None and ending is not None:
                with suppress(StopIteration):
                    self._go_on(lane, lane.go_on(ending))
            while (lane := self._next()) is not None:
                with suppress(StopIteration):
                    self._go_on(lane, lane.start())
        except _LeftBehind:
            return
        except BaseException as error:  # noqa: BLE001 - the thread that waits in run() raises it again
            self._end(error)
        with self._changed:
            self._at_work -= 1
            if not self._at_work:
                self._changed.notify()

    def _next(self) -> _Lane | None:
        try:
            return self._lanes.popleft()
        except IndexError:
            return None

    def _go_on(self, lane: _Lane, call: TaskCall) -> None:
        """Make the lane's current call, and the calls that follow. Raises StopIteration at the lane's end."""
        while True:
            if self.has_ended:
                raise WorkerLost
            call = lane.go_on(Context().run(self._make, call, lane))

    def _make(self, call: TaskCall, lane: _Lane) -> Result:
        """Make the call, in the context of this method's caller."""
        trace.follow(trace.followed_in(lane.context))
        started = time.monotonic()
        until = started + call.limit.total_seconds()
        at_most = started + (call.most or call.limit).total_seconds()
        try:
            with call.run:
                is_coroutine = inspect.iscoroutinefunction(call.function)
                if is_coroutine:
                    result = call.function(*call.args, **call.kwargs)
                else:
                    result = self._make_watched(call, lane, until)
                if inspect.isawaitable(result):
                    now = time.monotonic()
                    result = loop.wait_for(result, call.limit, until - now, at_most - now, has_begun=not is_coroutine)
        except (WorkerLost, _LeftBehind):
            raise
        except BaseException as error:  # noqa: BLE001 - any error of a task is the result of its call
            memory.give_back(error)
            return None, error
        return result, None

    def _make_watched(self, call: TaskCall, lane: _Lane, until: float) -> Any:
        running = _Running(lane, call.limit, until)
        with self._changed:
            self._running.add(running)
            # The watch must look earlier if a call has less time than `shortest`, as at an invocation's end.
            if until < self._wakes_at:
                self._changed.notify()
        result = None
        try:
            result = call.function(*call.args, **call.kwargs)
        finally:
            with self._changed:
                is_left_behind = running not in self._running
                self._running.discard(running)
            if is_left_behind:
                _hanging.discard(running)
                if inspect.iscoroutine(result):
                    result.close()  # it won't be awaited
                raise _LeftBehind
        return result


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="task")


def _renew_in_child() -> None:
    _threads.cache_clear()
    _hanging.clear()


after_fork_in_child(_renew_in_child)
