"""The line of a batch's lanes: which one has its turn, which are begun ahead, and which only record their end.

Runners make the calls, one lane after another. As long as there are helpers, these begin the next lanes, up to their
calls, and end lanes whose call has returned. So calls stay with their threads, however many lanes are begun.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from math import inf
from threading import Condition, Lock

from msgspec import Struct, field

from celeriac.execute.call import Result, Step, TakeTurn, TaskCalls

MOST_BEHIND = 3
"""No lane gets its turn while the ends of more lanes are unrecorded. If the worker dies, their tasks run again, and one
for each turn."""


class Lane(Struct, eq=False):
    """A lane, and the context in which its code runs, in whichever thread."""

    steps: TaskCalls[None]
    context: Context = field(default_factory=Context)
    step: Step | None = None
    """What it waits with for its turn."""
    result: Result | None = None
    """With what it goes on."""
    began_at: float = 0.0
    waits_since: float = 0.0
    waits_until: float = inf
    """When it gives up waiting for its turn."""
    waited: float = 0.0
    """The seconds that it waited for its turn."""
    calls: float = 0.0
    """The seconds that its calls took."""

    def go_on(self) -> Step:
        """Return the step that follows the last result, or the first step. Raises StopIteration at the lane's end."""
        result, self.result = self.result, None
        return self.context.run(self.steps.send, result)  # type: ignore[arg-type]  # None starts a generator


class Line:
    """The lanes of one batch, `size` of which have their turns at once, in the order in which they were begun.

    ahead: how many lanes may be begun beside those that have their turns.
    """

    def __init__(self, lanes: Iterable[TaskCalls[None]], size: int, ahead: Callable[[], int]) -> None:
        self._lanes = deque(Lane(steps) for steps in lanes)
        self._size, self._ahead = size, ahead
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._sleepers = 0
        # Begun by helpers, in order. Those with a step wait for their turns.
        self._begun: list[Lane] = []
        self._with_turn = 0
        self._behind = deque[Lane]()
        self._unrecorded = set[Lane]()
        self._is_closed = False
        self.helpers = 0
        """How many threads help. They leave when nothing is left for them."""

    @property
    def unbegun(self) -> int:
        """How many lanes are not begun."""
        return len(self._lanes)

    def for_runner(self) -> Lane | None:
        """Wait for a lane that has its turn now. None if there will be none."""
        with self._lock:
            while not self._is_closed:
                free = self._size - self._with_turn if len(self._unrecorded) <= MOST_BEHIND else 0
                if (lane := next(filter(self._is_ready, self._begun[:free]), None)) is not None:
                    self._begun.remove(lane)
                    lane.waited += time.monotonic() - lane.waits_since
                elif self._lanes and len(self._begun) < free:
                    lane = self._first()
                elif not (self._lanes or self._begun or self._unrecorded):
                    return None  # a lane whose end is unrecorded may need another turn
                if lane is not None:
                    self._with_turn += 1
                    self._wake()
                    return lane
                self._sleep()
            return None

    def _is_ready(self, lane: Lane) -> bool:
        if isinstance(lane.step, TakeTurn) and lane.step.after_others and self._unrecorded:
            return False
        return lane.step is not None

    def for_helper(self) -> Lane | None:
        """Wait for a lane to begin, or to end. None if there will be none. After `close`, only to end."""
        with self._lock:
            while self._behind or not self._is_closed:
                if self._behind:
                    return self._behind.popleft()
                now = time.monotonic()
                if (late := next((lane for lane in self._begun if lane.waits_until <= now), None)) is not None:
                    self._begun.remove(late)
                    late.step, late.waits_until, late.result = None, inf, (False, None)
                    late.waited += now - late.waits_since
                    self._unrecorded.add(late)
                    return late
                if self._lanes and self._with_turn and len(self._begun) < self._ahead():
                    lane = self._first()
                    self._begun.append(lane)
                    return lane
                if not (self._lanes or self._begun or self._with_turn):
                    return None
                self._sleep(min((lane.waits_until for lane in self._begun), default=inf) - now)
            return None

    def _first(self) -> Lane:
        lane = self._lanes.popleft()
        lane.began_at = time.monotonic()
        return lane

    def park(self, lane: Lane, step: Step) -> None:
        """A helper's lane needs its turn to go on."""
        with self._lock:
            lane.step, lane.waits_since = step, time.monotonic()
            seconds = step.seconds if isinstance(step, TakeTurn) else None
            lane.waits_until = lane.waits_since + seconds if seconds is not None else inf
            if lane not in self._begun:  # it was to end only
                self._unrecorded.discard(lane)
                self._begun.insert(0, lane)
            elif isinstance(step, TakeTurn) and step.after_others:
                self._begun.remove(lane)
                self._begun.append(lane)
            self._wake()

    def step_back(self, lane: Lane, step: TakeTurn) -> None:
        """A lane gives its turn to those that were begun, and waits for another one."""
        with self._lock:
            self._with_turn -= 1
            lane.step, lane.waits_since, lane.waits_until = step, time.monotonic(), inf
            self._begun.append(lane)
            self._wake()

    def leave_to_helper(self, lane: Lane) -> bool:
        """Give the lane's turn to the next one; a helper goes on with it. False if nobody helps."""
        with self._lock:
            if self._is_closed or not self.helpers or not self._ahead():
                return False
            self._with_turn -= 1
            self._unrecorded.add(lane)
            self._behind.append(lane)
            self._wake()
            return True

    def end(self, lane: Lane, *, has_turn: bool) -> None:
        """The lane has ended."""
        with self._lock:
            if has_turn:
                self._with_turn -= 1
            elif lane in self._begun:
                self._begun.remove(lane)
            else:
                self._unrecorded.discard(lane)
            self._wake()

    def close(self) -> None:
        """Begin no lane any more, and give out no turn."""
        with self._lock:
            self._is_closed = True
            self._lanes.clear()
            self._wake()

    def _sleep(self, seconds: float = inf) -> None:
        self._sleepers += 1
        self._changed.wait(max(seconds, 0) if seconds < inf else None)
        self._sleepers -= 1

    def _wake(self) -> None:
        if self._sleepers:
            self._changed.notify_all()
