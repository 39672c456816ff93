"""The threads that run a batch's lanes, and the watch over the calls that they make.

A thread can't be stopped. One whose call overruns is left behind: another takes its lane over, with the overrun for
an ending, while the call goes on in the background, fenced off by its lost lease, until it ends or Lambda stops the
worker.
"""

import inspect
import math
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from threading import Condition
from typing import Any

from celeriac import loop
from celeriac.bodies import Call, Ending, Overran, Steps, WorkerLost

# Threads are made when needed and kept; what overran occupies one. Far above any queue's concurrency.
MOST_THREADS = 512
# The watch looks at the clock no more often than that, unless it is woken.
LEAST_SECONDS = 0.05


class _LeftBehind(BaseException):
    """This thread's call has overrun, and its lane is another's by now."""


@dataclass(eq=False, slots=True)
class _Running:
    """A sync call that a thread is making, and when it must be over by `time.monotonic()`."""

    lane: Steps[None]
    limit: timedelta
    until: float


class Crew:
    """At most `size` threads, each of which runs one lane after another.

    `shortest` is the least time that a call is usually given: the watch need not look at the clock twice in it.
    """

    def __init__(self, lanes: Iterable[Steps[None]], size: int, shortest: timedelta) -> None:
        self._lanes = deque(lanes)
        self._at_work = min(size, len(self._lanes))
        self._changed = Condition()
        self._running: set[_Running] = set()
        self._shortest_seconds = shortest.total_seconds()
        self._wakes_at = math.inf
        self._ended_by: BaseException | None = None

    def run(self) -> None:
        """Run every lane to its end. Raises WorkerLost, or whatever else escapes a lane, once none is at work."""
        for _ in range(self._at_work):
            _threads().submit(self._work)
        try:
            with self._changed:
                while self._at_work:
                    self._relieve_the_overdue()
                    now = time.monotonic()
                    # No call that is yet to come is due before that. To be woken by one of them would cost a fifth of
                    # the whole consumer (benchmarks/consumer_cpu.py): this thread then takes the interpreter away.
                    later = now + max(self._shortest_seconds / 2, LEAST_SECONDS)
                    self._wakes_at = min([later, *(running.until for running in self._running)])
                    self._changed.wait(self._wakes_at - now)
        except BaseException:  # a signal to this thread, such as Ctrl-C: no lane is begun any more
            self._lanes.clear()
            raise
        if self._ended_by is not None:
            raise self._ended_by

    def _relieve_the_overdue(self) -> None:
        for running in [running for running in self._running if running.until <= time.monotonic()]:
            self._running.remove(running)
            _threads().submit(self._work, running.lane, (None, Overran(running.limit)))

    def _work(self, lane: Steps[None] | None = None, ending: Ending | None = None) -> None:
        """Run `lane` on from `ending`, where one is given, and then lane after lane."""
        try:
            if lane is not None and ending is not None:
                with suppress(StopIteration):
                    self._go_on(lane, lane.send(ending))
            while (lane := self._next()) is not None:
                with suppress(StopIteration):
                    self._go_on(lane, next(lane))
        except _LeftBehind:
            return
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._lanes.clear()
            self._ended_by = error
        with self._changed:
            self._at_work -= 1
            if not self._at_work:
                self._changed.notify()

    def _next(self) -> Steps[None] | None:
        try:
            return self._lanes.popleft()
        except IndexError:
            return None

    def _go_on(self, lane: Steps[None], call: Call) -> None:
        """Make the call that the lane stands at, and those that follow. Raises StopIteration at the lane's end."""
        while True:
            call = lane.send(self._make(call, lane))

    def _make(self, call: Call, lane: Steps[None]) -> Ending:
        try:
            if inspect.iscoroutinefunction(call.function):
                result = call.function(*call.args, **call.kwargs)
            else:
                result = self._make_watched(call, lane)
            return loop.wait_for(result, call.limit) if inspect.isawaitable(result) else result, None
        except (WorkerLost, _LeftBehind):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a task ends with is its ending
            return None, error

    def _make_watched(self, call: Call, lane: Steps[None]) -> Any:
        running = _Running(lane, call.limit, time.monotonic() + call.limit.total_seconds())
        with self._changed:
            self._running.add(running)
            # One who is given less than the shortest, as at an invocation's end.
            if running.until < self._wakes_at:
                self._changed.notify()
        try:
            return call.function(*call.args, **call.kwargs)
        finally:
            with self._changed:
                if running not in self._running:
                    raise _LeftBehind
                self._running.remove(running)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="task")
