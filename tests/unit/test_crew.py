"""The threads that run lanes, and the watch that leaves one behind when its call overruns."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from celeriac.bodies import Call, Ending, Overran, Steps, WorkerLost
from celeriac.crew import Crew

LONG, SHORT = timedelta(seconds=30), timedelta(milliseconds=20)


class Lanes:
    """Makes lanes, and notes how their calls ended, in order."""

    def __init__(self) -> None:
        self.endings: list[Ending] = []
        self.threads: list[int] = []

    def lane(self, *calls: Call) -> Steps[None]:
        for call in calls:
            self.endings.append((yield call))
            self.threads.append(threading.get_ident())


@pytest.fixture
def lanes() -> Lanes:
    return Lanes()


def _call(function: Callable[[], object], limit: timedelta = LONG) -> Call:
    return Call(function, (), {}, limit)


def _outcomes(lanes: Lanes) -> list[object]:
    return [result if error is None else type(error) for result, error in lanes.endings]


def test_one_thread_runs_lane_after_lane(lanes: Lanes) -> None:
    Crew([lanes.lane(_call(lambda i=i: i)) for i in range(5)], 1, LONG).run()  # type: ignore[misc]  # mypy wants a def
    assert _outcomes(lanes) == [0, 1, 2, 3, 4]
    assert len(set(lanes.threads)) == 1


def test_what_a_call_raises_is_its_ending(lanes: Lanes) -> None:
    def fail() -> None:
        raise SystemExit

    Crew([lanes.lane(_call(fail), _call(lambda: "next"))], 1, LONG).run()
    assert _outcomes(lanes) == [SystemExit, "next"]


@pytest.mark.parametrize("shortest", [SHORT, LONG], ids=["expected", "unexpected"])
def test_an_overrun_goes_on_in_another_thread_and_ends_but_once(lanes: Lanes, shortest: timedelta) -> None:
    released, over = threading.Event(), threading.Event()

    def hang() -> None:
        released.wait(10)
        over.set()

    calls = [_call(hang, SHORT), _call(lambda: "the same lane")]
    Crew([lanes.lane(*calls), lanes.lane(_call(lambda: "the next lane"))], 1, shortest).run()
    released.set()
    assert over.wait(10)
    assert _outcomes(lanes) == [Overran, "the same lane", "the next lane"]


def test_an_overrun_in_the_last_lane_is_waited_for_no_longer_than_its_limit(lanes: Lanes) -> None:
    released = threading.Event()
    try:
        Crew([lanes.lane(_call(lambda: released.wait(60), SHORT))], 1, SHORT).run()
    finally:
        released.set()
    assert _outcomes(lanes) == [Overran]


def test_async_calls_and_awaitables_are_awaited_within_their_limit(lanes: Lanes) -> None:
    async def later() -> str:
        return "later"

    def awaitable() -> Awaitable[str]:
        return later()

    async def never() -> None:
        await asyncio.sleep(60)

    Crew([lanes.lane(_call(later), _call(awaitable), _call(never, SHORT))], 1, LONG).run()
    assert _outcomes(lanes) == ["later", "later", Overran]


def test_the_end_of_the_worker_begins_no_further_lane_and_reaches_the_handler(lanes: Lanes) -> None:
    def die() -> None:
        raise WorkerLost

    with pytest.raises(WorkerLost):
        Crew([lanes.lane(_call(die)), lanes.lane(_call(lambda: "next"))], 1, LONG).run()
    assert _outcomes(lanes) == []


def test_no_lanes_are_no_work() -> None:
    Crew([], 4, LONG).run()
