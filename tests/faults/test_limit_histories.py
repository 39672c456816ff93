"""Random histories of limited tasks, on the real code in virtual time: each from one seed.

A history is a few bursts of messages, with pauses between them in which nothing is delivered, workers that die at some
call or in a task, late, doubled and reordered deliveries, outages, providers that say "too many requests", operators
who change a limit, and two releases side by side. What must hold is at the end of `play`.

`make limits` plays so many, from the first seed on.
"""

import random
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from celeriac import Backoff, Breaker, Concurrent, Handle, Queue, Rate, Throttled, task
from celeriac.consume.visiting import MOST_DEATHS_ALONE
from celeriac.flow import overrides, places, rows
from celeriac.testing import Call, Sandbox, die
from tests.support.windows import holds

one_by_one = Queue("lim-one", timeout=timedelta(minutes=1), batch_size=10)
side_by_side = Queue("lim-side", concurrency=5, timeout=timedelta(minutes=1), batch_size=10)
in_order = Queue("lim-order", fifo=True, concurrency=3, timeout=timedelta(minutes=1))

slow = Rate("h-slow", 2, per=timedelta(seconds=3), burst=1)
fast = Rate("h-fast", 20, burst=4)
of_tenant = Rate("h-tenant", 3, burst=2, by="tenant")
rooms = Concurrent("h-rooms", 2)
bank = Breaker("h-bank", failures=2, of=6, pause=timedelta(seconds=20), on=(ConnectionError,))
RATES = (slow, fast, of_tenant)
TRIPS_WITH_MANY_COPIES = 6
PATIENT = Backoff(base=timedelta(seconds=5), jitter=0.3, cap=timedelta(minutes=10), attempts=200)

_lock = threading.Lock()
starts: dict[tuple[str, str], list[datetime]] = defaultdict(list)
"""When bodies began, by limit and the value of its `by`."""
_inside: Counter[str] = Counter()
_most: Counter[str] = Counter()
_world: "World"


class World:
    """What the tasks' provider does in this history."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.deaths = chance.choice([0, 0, 1, 3])
        self.throttles = chance.choice([0, 0, 3, 10])
        self.down_until: datetime | None = None
        self.takes = chance.choice([0.0, 0.0, 0.4, 3.0])
        self.failures = chance.choice([0, 0, 2, 5])
        self.killed = self.deaths


def _begin(limits: Sequence[Rate | Concurrent | Breaker], tenant: str) -> None:
    now = datetime.now(UTC)
    with _lock:
        for limit in limits:
            if isinstance(limit, Rate):
                starts[limit.name, tenant if limit.names else ""].append(now)
        if _world.deaths and _world.chance.random() < 0.2:
            _world.deaths -= 1
            die()
        if _world.throttles and _world.chance.random() < 0.3:
            _world.throttles -= 1
            raise Throttled(retry_after=timedelta(seconds=_world.chance.choice([0, 1, 7, 90])))
        if _world.down_until is not None and now < _world.down_until:
            raise ConnectionError
        if _world.failures and _world.chance.random() < 0.2:
            _world.failures -= 1
            raise ValueError


@task(one_by_one, limits=[slow], retry=PATIENT)
def h_crawl(number: int, tenant: str) -> None:
    _begin([slow], tenant)
    if _world.takes and _sandbox is not None:
        _sandbox.advance(timedelta(seconds=_world.takes))


@task(side_by_side, limits=[fast, of_tenant], retry=PATIENT)
def h_call(number: int, tenant: str) -> None:
    _begin([fast, of_tenant], tenant)


@task(one_by_one, limits=[rooms, fast], retry=PATIENT, delivery="at_least_once")
def h_export(number: int, tenant: str) -> None:
    with _lock:
        _inside["h-rooms"] += 1
        _most["h-rooms"] = max(_most["h-rooms"], _inside["h-rooms"])
    try:
        _begin([fast], tenant)
    finally:
        with _lock:
            _inside["h-rooms"] -= 1


@task(side_by_side, limits=[bank, of_tenant], retry=PATIENT)
def h_pay(number: int, tenant: str) -> None:
    _begin([of_tenant], tenant)


@task(in_order, limits=[slow], retry=PATIENT)
def h_book(number: int, tenant: str) -> None:
    _begin([slow], tenant)


HAPPENINGS = ["on", "late", "pause", "outage", "down", "throttled item", "hot look", "lost answers", "change"]
TASKS = (h_crawl, h_call, h_export, h_pay, h_book)
_sandbox: Sandbox | None = None


def play(seed: int) -> Counter[str]:
    """Play the history of a seed. Raises AssertionError, with the seed, if a promise is broken. Returns counts."""
    global _world, _sandbox  # noqa: PLW0603 - tasks see their world as a provider's state
    chance = random.Random(seed)  # noqa: S311 - a history, no secret
    _world = World(chance)
    for state in (starts, _inside, _most):
        state.clear()
    loosest = {rate.name: (rate.at_once, rate.interval) for rate in RATES}
    is_short = False
    with Sandbox() as sandbox, ExitStack() as faults:
        _sandbox = sandbox
        if chance.random() < 0.5:
            # Each copy of a message that waits sends itself on, so the copies grow with each trip. With many duplicates
            # a history of fifty trips would never end: there are many in few trips only.
            is_short = chance.random() < 0.4
            duplicates = [0.1, 0.5] if is_short else [0, 0.01, 0.02]
            sandbox.deliver(duplicates=chance.choice(duplicates), reorders=True, seed=seed)
        if chance.random() < 0.2:
            # The old release knows none of the tasks: their messages wait for the new one.
            faults.enter_context(sandbox.rollout(old=[]))
        handles = _bursts(sandbox, chance, loosest, is_short=is_short)
        faults.close()
        if is_short:
            for _ in range(TRIPS_WITH_MANY_COPIES):
                sandbox.advance(timedelta(seconds=5))
                sandbox.run_once()
            sandbox.deliver(duplicates=0.01, reorders=True, seed=seed)
        sandbox.drain()
        states = Counter(handle.status().state for handle in handles if not handle.is_at_least_once)
        letters = [letter for each in TASKS for letter in sandbox.dead_letters(each.queue)]
        held = places.used(rows.read(rows.of_limit(rooms.name, "")), rows.now())
        _sandbox = None
    where = f"history {seed}"
    reasons = Counter(letter.failure.reason if letter.failure is not None else "" for letter in letters)
    # Three workers that die of it are a message's end.
    allowed = {"worker lost"} if _world.killed >= MOST_DEATHS_ALONE else set()
    assert set(reasons) <= allowed, f"{where}: {reasons}"
    assert set(states) <= ({"succeeded", "dead"} if reasons else {"succeeded"}), f"{where}: {states}"
    assert _most["h-rooms"] <= rooms.places, where
    assert not held, f"{where}: {held} places are held, and nobody runs"
    for (name, tenant), times in starts.items():
        burst, interval = loosest[name]
        # Where lanes run side by side, the clock that they share moves on between a lane's admission and its task.
        slack = 0 if name == slow.name else 1_000_000
        assert holds(times, burst, interval, slack), f"{where}: {name} {tenant} {sorted(times)}"
    return Counter(messages=len(handles), starts=sum(map(len, starts.values())))


def _bursts(
    sandbox: Sandbox, chance: random.Random, loosest: dict[str, tuple[int, int]], *, is_short: bool
) -> list[Handle[None]]:
    """Send some bursts of messages, with what happens between them."""
    handles: list[Handle[None]] = []
    chosen = chance.sample(TASKS, chance.choice([1, 1, 2]))
    for _ in range(1 if is_short else chance.choice([1, 2, 4])):
        its = chance.choice(chosen)
        for _ in range(chance.choice([1, 4] if is_short else [1, 4, 12])):
            options = its.options(group=chance.choice("ab")) if its.queue.fifo else its
            handles.append(options.enqueue(number=len(handles), tenant=chance.choice("xy")))
        for _ in range(chance.choice([0, 1, 3])):
            sandbox.crash_at(chance.randint(0, 14), after=chance.random() < 0.5)
            _world.killed += 1
            sandbox.run_once()
        match chance.choice(
            ["on", "late", "pause", "outage", "down", "throttled item", "hot look", "lost answers", "change"]
        ):
            case "late":
                sandbox.advance(timedelta(seconds=chance.choice([1, 30, 200])))
            case "pause":
                sandbox.advance(timedelta(hours=2))
            case "outage":
                lasts = timedelta(seconds=chance.choice([5, 600]))
                sandbox.outage("dynamodb", for_=lasts, code="InternalServerError")
            case "throttled item":
                lasts = timedelta(seconds=chance.choice([5, 60]))
                sandbox.outage("dynamodb", "UpdateItem", table="flow", for_=lasts)
            case "hot look":
                sandbox.outage("dynamodb", "BatchGetItem", for_=timedelta(minutes=chance.choice([1, 30])))
            case "lost answers":
                with sandbox.fault(_again_and_again):
                    sandbox.run_once()
            case "down":
                _world.down_until = sandbox.now + timedelta(seconds=chance.choice([10, 100, 1000]))
            case "change":
                _change(loosest, chance.choice(RATES), chance)
            case _:
                sandbox.run_once()
    sandbox.crash_at(chance.randint(1, 40), after=chance.random() < 0.5)
    _world.killed += 1
    return handles


def _again_and_again(call: Call) -> Any:
    """Carry out each write twice, as boto3 does if the first answer is lost. The worker gets the second one."""
    if call.operation == "UpdateItem":
        with suppress(ClientError):
            call.make()
    return call.make()


def _change(loosest: dict[str, tuple[int, int]], rate: Rate, chance: random.Random) -> None:
    """An operator changes a rate. What must hold from then on is the looser of both, before and after."""
    limit = chance.choice([1, 5, 50])
    overrides.put(rate.name, overrides.Override(limit=limit, per_microseconds=1_000_000))
    before = loosest[rate.name]
    interval = 1_000_000 // limit
    burst = rate.burst or limit
    loosest[rate.name] = max(before[0], burst) + 1, min(before[1], interval)


@pytest.mark.parametrize("seed", range(40))
def test_a_history_holds(seed: int) -> None:
    play(seed)


def main(count: int, first: int = 0) -> None:
    """Play histories, and print what they amount to."""
    total: Counter[str] = Counter()
    for seed in range(first, first + count):
        total += play(seed)
    print(f"{count} histories held: {total['messages']} messages, {total['starts']} starts")  # noqa: T201 - a command


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
