"""What a pause, a death at any call, or a lost answer does to limits: nobody is charged, nothing is held for ever."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from celeriac import Backoff, Breaker, Concurrent, Queue, Rate, task
from celeriac.flow import breaker, places, rows
from celeriac.testing import Sandbox, every_fault
from tests.support.windows import holds

alone = Queue("recipe-alone", timeout=timedelta(minutes=1), batch_size=10)
together = Queue("recipe-together", concurrency=4, timeout=timedelta(minutes=1))
slow = Rate("recipe-slow", 1, per=timedelta(seconds=2))
twenty = Rate("recipe-twenty", 20)
two_places = Concurrent("recipe-two", 2)
bank = Breaker("recipe-bank", failures=1, of=1, pause=timedelta(seconds=20), on=(ConnectionError,))
starts: list[datetime] = []
failed_once: set[int] = set()
runs: Counter[int] = Counter()
inside: Counter[str] = Counter()
is_down: set[str] = set()
lock = threading.Lock()


@pytest.fixture(autouse=True)
def _empty() -> None:
    for state in (starts, failed_once, runs, inside, is_down):
        state.clear()


@task(alone, limits=[slow], retry=Backoff(base=timedelta(minutes=1), give_up_after=timedelta(hours=1)))
def fail_once(number: int) -> None:
    with lock:
        starts.append(datetime.now(UTC))
        if number not in failed_once:
            failed_once.add(number)
            raise ValueError


def test_a_pause_of_two_hours_lets_no_more_start_and_none_give_up(sandbox: Sandbox) -> None:
    failed_once.add(0)  # it starts at once, so its retry would wait for no limit during the pause
    handles = fail_once.enqueue_many({"number": number} for number in range(120))
    sandbox.run_once()
    sandbox.advance(timedelta(hours=2))
    sandbox.drain()
    assert sandbox.dead_letters(alone) == []
    assert Counter(handle.status().attempts for handle in handles) == {1: 1, 2: 119}
    assert len(starts) == 239
    assert holds(starts, slow.at_once, slow.interval)


@task(together, limits=[twenty, two_places, bank], retry=Backoff(base=timedelta(seconds=1), attempts=2))
def guarded(number: int) -> None:
    with lock:
        runs[number] += 1
        inside["now"] += 1
        inside["most"] = max(inside["most"], inside["now"])
    try:
        if is_down:
            raise ConnectionError
    finally:
        with lock:
            inside["now"] -= 1


def half_open(sandbox: Sandbox) -> None:
    """Four tasks, of which the first one to come has found the bank down: it is half-open for the others."""
    for state in (runs, inside):
        state.clear()
    is_down.add("bank")
    guarded.enqueue(number=0)
    sandbox.run_once()
    is_down.clear()
    sandbox.advance(timedelta(minutes=1))
    guarded.enqueue_many({"number": number} for number in range(1, 4))


def test_a_death_or_a_lost_answer_at_any_call_holds_nothing_for_ever() -> None:
    faults = every_fault(half_open)
    for sandbox in faults:
        story = faults.story
        assert sandbox.dead_letters(together) == [], story
        assert set(runs) == {0, 1, 2, 3}, story
        assert inside["most"] <= two_places.places, story
        item = rows.read(rows.of_limit(two_places.name, ""))
        assert places.used(item, rows.now()) == 0 or _lapses(item), story
        assert breaker.state_of(rows.read(rows.of_limit(bank.name, "")), rows.now()) == "closed", story
    assert "points held" in faults.summary


def _lapses(item: rows.Item) -> bool:
    """Whether every place that is held ends with a worker's time."""
    latest = rows.now() + together.timeout // timedelta(microseconds=1)
    return all(end <= latest for end in places.holders_of(item).values())
