"""The threads that run lanes, and the watch that leaves a thread behind if its call overruns."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache

import pytest

from celeriac.execute import loop, pace, threads
from celeriac.execute.call import Result, TaskCall, TaskCalls, TaskTimeoutError, WorkerLost
from celeriac.execute.threads import Threads
from celeriac.observe.running import RunInfo

LONG, SHORT = timedelta(seconds=30), timedelta(milliseconds=20)


class Lanes:
    """Makes lanes, and records how their calls ended, in order."""

    def __init__(self) -> None:
        self.endings: list[Result] = []
        self.threads: list[int] = []

    def lane(self, *calls: TaskCall) -> TaskCalls[None]:
        for call in calls:
            self.endings.append((yield call))
            self.threads.append(threading.get_ident())


@pytest.fixture
def lanes() -> Lanes:
    return Lanes()


def _call(function: Callable[[], object], limit: timedelta = LONG) -> TaskCall:
    return TaskCall(function, (), {}, limit, RunInfo("work", "i-1", 1, "r-1"))


def _run(lanes: list[TaskCalls[None]], *, size: int = 1, shortest: timedelta = LONG, limit: timedelta = LONG) -> bool:
    return Threads(lanes, size, shortest=shortest, limit=limit).run()


def _outcomes(lanes: Lanes) -> list[object]:
    return [result if error is None else type(error) for result, error in lanes.endings]


def test_one_thread_runs_lane_after_lane(lanes: Lanes) -> None:
    _run([lanes.lane(_call(lambda i=i: i)) for i in range(5)], size=1, shortest=LONG)  # type: ignore[misc]  # mypy: no lambda defaults
    assert _outcomes(lanes) == [0, 1, 2, 3, 4]
    assert len(set(lanes.threads)) == 1


def test_an_exception_of_a_call_is_its_result(lanes: Lanes) -> None:
    def fail() -> None:
        raise SystemExit

    _run([lanes.lane(_call(fail), _call(lambda: "next"))], size=1, shortest=LONG)
    assert _outcomes(lanes) == [SystemExit, "next"]


@pytest.mark.parametrize("shortest", [SHORT, LONG], ids=["expected", "unexpected"])
def test_a_lane_continues_in_another_thread_after_an_overrun_and_the_call_ends_once(
    lanes: Lanes, shortest: timedelta
) -> None:
    released, over = threading.Event(), threading.Event()

    def hang() -> None:
        released.wait(10)
        over.set()

    calls = [_call(hang, SHORT), _call(lambda: "the same lane")]
    _run([lanes.lane(*calls), lanes.lane(_call(lambda: "the next lane"))], size=1, shortest=shortest)
    released.set()
    assert over.wait(10)
    assert _outcomes(lanes) == [TaskTimeoutError, "the same lane", "the next lane"]


def test_the_last_lane_waits_for_an_overrun_only_until_its_limit(lanes: Lanes) -> None:
    released = threading.Event()
    try:
        _run([lanes.lane(_call(lambda: released.wait(60), SHORT))], size=1, shortest=SHORT)
    finally:
        released.set()
    assert _outcomes(lanes) == [TaskTimeoutError]


def test_async_calls_and_awaitables_are_awaited_within_their_limit(lanes: Lanes) -> None:
    async def later() -> str:
        return "later"

    def awaitable() -> Awaitable[str]:
        return later()

    async def never() -> None:
        await asyncio.sleep(60)

    _run([lanes.lane(_call(later), _call(awaitable), _call(never, SHORT))], size=1, shortest=LONG)
    assert _outcomes(lanes) == ["later", "later", TaskTimeoutError]


def test_the_loss_of_the_worker_starts_no_further_lane_and_reaches_the_handler(lanes: Lanes) -> None:
    def die() -> None:
        raise WorkerLost

    with pytest.raises(WorkerLost):
        _run([lanes.lane(_call(die)), lanes.lane(_call(lambda: "next"))], size=1, shortest=LONG)
    assert _outcomes(lanes) == []


def test_running_no_lanes_does_nothing() -> None:
    _run([], size=4, shortest=LONG)


def test_the_result_of_an_overrun_is_ignored_during_a_later_call_of_its_lane(lanes: Lanes) -> None:
    released = threading.Event()

    def hang() -> str:
        released.wait(10)
        return "too late"

    def follow() -> str:
        hanging = threads.left_behind()
        released.set()
        while threads.left_behind() == hanging:
            pass  # the overrun ends during this call
        return "next"

    _run([lanes.lane(_call(hang, SHORT), _call(follow), _call(lambda: "last"))], shortest=SHORT)
    assert _outcomes(lanes) == [TaskTimeoutError, "next", "last"]


def test_waiting_ends_at_the_limit_even_if_a_lane_is_stuck(lanes: Lanes) -> None:
    released, over = threading.Event(), threading.Event()

    def stuck_outside_its_call() -> TaskCalls[None]:
        yield _call(lambda: None)
        released.wait(10)  # it is settling, and AWS is out of reach
        yield _call(lambda: pytest.fail("the worker is over"))

    def finished() -> TaskCalls[None]:
        try:
            yield from stuck_outside_its_call()
        finally:
            over.set()

    assert not _run([finished(), lanes.lane(_call(lambda: "not begun"))], limit=3 * SHORT)
    released.set()
    assert over.wait(10)
    assert _outcomes(lanes) == []


def test_the_loss_of_the_worker_ends_running_lanes(lanes: Lanes) -> None:
    dead = threading.Event()

    def die() -> None:
        dead.set()
        raise WorkerLost

    def outlive() -> None:
        dead.wait(10)
        while not crew_.has_ended:
            pass

    crew_ = Threads(
        [lanes.lane(_call(outlive), _call(lambda: "next")), lanes.lane(_call(die))], 2, shortest=LONG, limit=LONG
    )
    with pytest.raises(WorkerLost):
        crew_.run()
    assert "next" not in _outcomes(lanes)


def test_a_body_that_returns_an_awaitable_has_one_limit_for_both(lanes: Lanes) -> None:
    gave_up, released = asyncio.Event(), threading.Event()

    async def wait() -> None:
        await gave_up.wait()

    def slow() -> Awaitable[None]:
        released.wait(0.15)
        return wait()

    assert _run([lanes.lane(_call(slow, timedelta(seconds=0.2)))], limit=timedelta(seconds=0.3))
    assert _outcomes(lanes) == [TaskTimeoutError]


def test_async_tasks_of_a_cold_worker_share_one_loop(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_loops", loop._Loops())

    async def which() -> int:
        return id(asyncio.get_running_loop())

    _run([lanes.lane(_call(which)) for _ in range(20)], size=10)
    assert len(set(_outcomes(lanes))) == 1


def test_without_threads_for_helpers_the_lanes_run_one_by_one(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks may have left behind so many threads that no more can be started."""
    monkeypatch.setattr(threads, "_threads", cache(lambda: ThreadPoolExecutor(9)))
    _run([lanes.lane(_call(lambda: "warm"))])  # its thread stays for the next batch
    monkeypatch.setattr(pace, "ahead", lambda _: 3)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert Threads([lanes.lane(_call(lambda: "ran")) for _ in range(6)], 1, shortest=LONG, limit=LONG, ahead=True).run()
    assert _outcomes(lanes) == ["warm", *["ran"] * 6]


def test_the_loss_of_the_worker_starts_no_waiting_lane() -> None:
    begun: list[str] = []
    both = threading.Barrier(2)

    def lane(name: str, call: Callable[[], object]) -> TaskCalls[None]:
        begun.append(name)
        yield _call(call)

    def die() -> None:
        both.wait(10)
        raise WorkerLost

    def end() -> None:
        both.wait(10)
        while not crew_.has_ended:
            pass

    crew_ = Threads([lane("dies", die), lane("ends", end), lane("late", lambda: None)], 2, shortest=LONG, limit=LONG)
    with pytest.raises(WorkerLost):
        crew_.run()
    assert sorted(begun) == ["dies", "ends"]


def test_looks_are_made_while_calls_run(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "MOST_SECONDS_TO_A_LOOK", 0.01)
    looked = threading.Event()

    class Looks:
        seconds_left = 0.0

        def look(self) -> None:
            looked.set()

    call = _call(lambda: looked.wait(10))
    assert Threads([lanes.lane(call)], 1, shortest=LONG, limit=LONG, looks=Looks()).run()
    assert _outcomes(lanes) == [True]
