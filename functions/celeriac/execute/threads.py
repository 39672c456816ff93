"""The threads that run a batch's lanes, and the watch that finds calls that overrun.

Runners make the calls. Helpers begin the next lanes meanwhile, so that their tasks are claimed, and record ends.

A thread can't be stopped. If its call overruns, the thread is left behind: another thread takes over its lane, with a
timeout as the result of the call. The call goes on in the background until it ends or Lambda stops the worker. It has
lost its lease, so it can't record or commit. The same happens to all calls when a worker must end that was told to.

Each call runs in a context of its own (PEP 567), which is empty at first, as that of a new thread: what a call sets in
a context variable, or in decimal's context, no other call sees. Only the hooks around a task share the task's context.
The code of a lane between its calls runs in a context of the lane.
"""

import inspect
import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from threading import Condition
from typing import Any, Protocol

from msgspec import Struct

from celeriac.execute import loop, memory, pace
from celeriac.execute.call import (
    EndTurn,
    Result,
    TakeTurn,
    TaskCall,
    TaskCalls,
    TaskTimeoutError,
    WorkerEndsError,
    WorkerLost,
)
from celeriac.execute.line import Lane, Line
from celeriac.model import notice
from celeriac.model.forks import after_fork_in_child
from celeriac.observe import trace

# Threads are made when needed, and reused. Each call that overran occupies one. No worker can reach this number.
MOST_THREADS = 100_000
# The watch waits at least this long between two looks at the clock, unless it is woken.
LEAST_SECONDS = 0.05
MOST_SECONDS_TO_A_LOOK = 4.0


class _LeftBehind(BaseException):
    """This thread's call has overrun, and another thread has taken over its lane."""


def left_behind() -> int:
    """Return how many threads of this worker are still in a call that has overrun."""
    return len(_hanging)


def forget() -> None:
    """Count the calls that hang no more, as in a new worker."""
    _hanging.clear()


class _Running(Struct, eq=False):
    """A sync call that a thread is making, and its deadline on the clock `time.monotonic()`."""

    lane: Lane
    limit: timedelta
    until: float


# Adding and discarding are atomic, and the calls differ.
_hanging: set[_Running] = set()


class Looks(Protocol):
    """Looks at the calls that are being made."""

    @property
    def seconds_left(self) -> float:
        """How long it is until the next look."""

    def look(self) -> None:
        """Look, if it is time to. Never raises."""


class Threads:
    """Runs lanes, of which at most `size` make calls at once.

    `ahead` says whether there are helpers, as many as `celeriac.execute.pace` finds worth it.
    `shortest` is the shortest time limit that calls usually have. Between two looks at the clock the watch waits half
    of it.
    `limit` is how long `run` waits for the threads at most.
    `looks` are made by separate threads, from time to time.
    """

    def __init__(
        self,
        lanes: Iterable[TaskCalls[None]],
        size: int,
        *,
        shortest: timedelta,
        limit: timedelta,
        ahead: bool = False,
        looks: Looks | None = None,
    ) -> None:
        self._looks, self._look = looks, Future[None]()
        self._look.set_result(None)
        self._size, self._has_ahead = size, ahead
        self._line = Line(lanes, size, self._ahead)
        self._at_work = 0
        self._changed = Condition()
        self._running: set[_Running] = set()
        self._shortest_seconds = shortest.total_seconds()
        self._until = time.monotonic() + limit.total_seconds()
        self._wakes_at = self._cut_at = math.inf
        self._ended_by: BaseException | None = None

    def run(self) -> bool:
        """Run every lane to its end. Return whether all ended in time: SQS delivers messages again that aren't settled.

        Raises WorkerLost, or any other error that escapes a lane, once no thread is at work or `limit` has passed.
        """
        try:
            with self._changed:
                for _ in range(min(self._size, self._line.unbegun)):
                    self._employ(self._run)
                self._employ_helpers()
                while self._at_work and time.monotonic() < self._until:
                    self._heed_notice()
                    self._relieve_the_overdue()
                    now = time.monotonic()
                    # No call that starts later is due before this time. If each call woke this thread, that would cost
                    # a fifth of the whole consumer (benchmarks/consumer_cpu.py): this thread would take the interpreter
                    # from the tasks.
                    later = now + max(min(self._shortest_seconds / 2, self._until_look()), LEAST_SECONDS)
                    self._wakes_at = min(
                        [later, self._until, self._cut_at, *(running.until for running in self._running)]
                    )
                    self._changed.wait(self._wakes_at - now)
        except BaseException as error:  # a signal to this thread, such as Ctrl-C, or a thread that can't be started
            self._end(error)
            raise
        if self._ended_by is not None:
            raise self._ended_by
        if self._at_work:
            self._end(WorkerLost())
        return not self._at_work

    def _until_look(self) -> float:
        """Begin a look if it is time for it. Returns the seconds until the next one may be due."""
        if self._looks is None:
            return math.inf
        seconds = self._looks.seconds_left
        if seconds == 0 and self._look.done():
            self._look = _threads().submit(self._looks.look)
        # A call that begins now doesn't wake the watch.
        return min(seconds or math.inf, MOST_SECONDS_TO_A_LOOK)

    def _ahead(self) -> int:
        return pace.ahead(self._size) if self._has_ahead else 0

    def _employ(self, work: Callable[[], None]) -> None:
        """Start a thread. The caller holds the lock."""
        self._at_work += 1
        _threads().submit(self._work, work)

    def _employ_helpers(self) -> None:
        """Start helpers, if more lanes wait than have their turns. The caller holds the lock."""
        while self._line.helpers < min(self._ahead(), self._line.unbegun - self._size + self._line.helpers):
            self._line.helpers += 1
            try:
                self._employ(self._help)
            except RuntimeError:
                # No thread can be started. The pool keeps the work until one of its threads is free. That one finds
                # nothing left to do.
                self._line.helpers -= 1
                return

    @property
    def has_ended(self) -> bool:
        """Whether the worker is ending: no further lane is started, and no further call is made."""
        return self._ended_by is not None

    def _end(self, error: BaseException) -> None:
        """Start no further lane, and make no further call of the lanes that have started."""
        self._ended_by = self._ended_by or error
        self._line.close()

    def _heed_notice(self) -> None:
        """If the worker was told to end, cut off at the time for it what still runs. The caller holds the lock."""
        if notice.ends_at is None or notice.bodies_end_at is None:
            return
        now, monotonic = datetime.now(UTC), time.monotonic()
        self._until = min(self._until, monotonic + (notice.ends_at - now).total_seconds())
        self._cut_at = monotonic + (notice.bodies_end_at - now).total_seconds()
        if self._cut_at <= monotonic:
            self._cut_at = math.inf
            for running in list(self._running):
                self._leave_behind(running, WorkerEndsError(has_begun=True))
            loop.cut_off()

    def _relieve_the_overdue(self) -> None:
        for running in [running for running in self._running if running.until <= time.monotonic()]:
            self._leave_behind(running, TaskTimeoutError(running.limit, runs_on=True))

    def _leave_behind(self, running: _Running, error: Exception) -> None:
        """Let another thread go on with the lane of a call, with an error as the call's result."""
        running.lane.result = None, error
        running.lane.calls += running.limit.total_seconds() - max(running.until - time.monotonic(), 0)
        _threads().submit(self._work, partial(self._run, running.lane))
        self._running.remove(running)
        _hanging.add(running)

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _LeftBehind:
            return
        except BaseException as error:  # noqa: BLE001 - the thread that waits in run() raises it again
            self._end(error)
        with self._changed:
            self._at_work -= 1
            if not self._at_work:
                self._changed.notify()

    def _run(self, lane: Lane | None = None) -> None:
        """Run `lane` on, if one is given, and then lane after lane: as a runner."""
        while (lane := lane or self._line.for_runner()) is not None:
            try:
                self._go_on_with_turn(lane)
            except StopIteration:
                self._line.end(lane, has_turn=True)
                self._note_pace(lane)
            lane = None

    def _go_on_with_turn(self, lane: Lane) -> None:
        """Run a lane on until a helper takes it. Raises StopIteration at its end."""
        step, lane.step = lane.step, None
        has_waited = step is not None
        while True:
            if step is None:
                step = lane.go_on()
            if isinstance(step, EndTurn):
                if self._line.leave_to_helper(lane):
                    return
            elif self.has_ended:
                raise WorkerLost
            elif isinstance(step, TakeTurn):
                if step.after_others and not has_waited:
                    self._line.step_back(lane, step)
                    return
                lane.result = True, None
            else:
                context = step.context if step.context is not None else Context()  # an empty one is false
                lane.result = context.run(self._make, step, lane)
            step, has_waited = None, False

    def _help(self) -> None:
        """Begin and end lanes, as a helper."""
        while (lane := self._line.for_helper()) is not None:
            try:
                while isinstance(step := lane.go_on(), TakeTurn) and step.seconds == 0:
                    lane.result = False, None
                self._line.park(lane, step)
            except StopIteration:
                self._line.end(lane, has_turn=False)
                self._note_pace(lane)

    def _note_pace(self, lane: Lane) -> None:
        """Note how long a lane took, and start more helpers if they are worth it."""
        if self._has_ahead and lane.calls:
            pace.note(lane.calls, time.monotonic() - lane.began_at - lane.calls - lane.waited)
            if self._line.helpers < self._ahead():
                with self._changed:
                    self._employ_helpers()

    def _make(self, call: TaskCall, lane: Lane) -> Result:
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
                    result = loop.wait_for(
                        result, call.limit, until - now, at_most - now, has_begun=not is_coroutine, stop=call.stop
                    )
        except (WorkerLost, _LeftBehind):
            raise
        except BaseException as error:  # noqa: BLE001 - any error of a task is the result of its call
            memory.give_back(error)
            lane.calls += time.monotonic() - started
            return None, error
        lane.calls += time.monotonic() - started
        return result, None

    def _make_watched(self, call: TaskCall, lane: Lane, until: float) -> Any:
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
                if call.late is not None:
                    call.late()
                raise _LeftBehind
        return result


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="task")


def _renew_in_child() -> None:
    _threads.cache_clear()
    _hanging.clear()


after_fork_in_child(_renew_in_child)
