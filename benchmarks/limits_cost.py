"""AWS calls and dollars that each limit adds to a million effectively-once tasks.

python benchmarks/limits_cost.py

The code's own calls are counted in the Sandbox: batches of ten, all with one value of `by`, so this is the busiest
key. What is added is the difference to the same tasks without the limit. DynamoDB's reads and writes, and SQS's
requests, are priced by benchmarks/prices.py. The receive and the delete of a message are a fifth of a request, in full
batches.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from used import TEN, Used, tell, used  # before any AWS library

from celeriac import Breaker, Concurrent, Debounce, Queue, Rate, Unique, task

TASKS = 100

one_lane = Queue("limits-one", timeout=timedelta(minutes=1), batch_size=TEN)
ten_lanes = Queue("limits-ten", timeout=timedelta(minutes=1), concurrency=TEN)
free = Rate("bench-free", 100_000)
slow = Rate("bench-slow", 1, per=timedelta(seconds=2))
places = Concurrent("bench-places", 100)
fuse = Breaker("bench-fuse")


@task(one_lane)
def plain(key: str) -> None: ...


@task(one_lane, limits=[free])
def rated(key: str) -> None: ...


@task(ten_lanes, limits=[free])
def rated_wide(key: str) -> None: ...


@task(one_lane, limits=[slow])
def rated_slow(key: str) -> None: ...


@task(one_lane, limits=[places])
def placed(key: str) -> None: ...


@task(one_lane, limits=[fuse])
def fused(key: str) -> None: ...


@task(one_lane, unique=Unique(by="key"))
def unique(key: str) -> None: ...


@task(one_lane, debounce=Debounce(timedelta(seconds=5), by="key"))
def debounced(key: str) -> None: ...


def _each(kind: Any, values: int) -> Callable[[], object]:
    """Enqueue TASKS tasks, one by one, with so many values of `key`."""

    def enqueue() -> None:
        for number in range(TASKS):
            kind.enqueue(key=f"k{number % values}")

    return enqueue


def _bursts() -> None:
    """Ten bursts of ten messages."""
    for number in range(TASKS):
        debounced.enqueue(key=f"k{number // TEN}")


PLAIN = "no limit"
MODES: dict[str, Callable[[], object]] = {
    PLAIN: _each(plain, 1),
    "Rate, nobody waits, one lane": _each(rated, 1),
    "Rate, nobody waits, ten lanes": _each(rated_wide, 1),
    "Rate, all wait, for 100 s on average": _each(rated_slow, 1),
    "Concurrent, nobody waits": _each(placed, 1),
    "Breaker, nothing fails": _each(fused, 1),
    "Unique, no duplicates": _each(unique, TASKS),
    "Unique, nine of ten are duplicates": _each(unique, TEN),
    "Debounce, bursts of ten": _bursts,
}


def _used(mode: str) -> Used:
    """What a message of a mode uses of AWS: the average of TASKS."""
    return used(lambda _: MODES[mode]()) / TASKS


def measure() -> dict[str, dict[str, float]]:
    """What each limit adds, by name."""
    without = _used(PLAIN)
    found: dict[str, dict[str, float]] = {}
    for mode in MODES:
        if mode != PLAIN:
            found[mode] = _used(mode).more_than(without).figures
    return found


if __name__ == "__main__":
    tell(__doc__, measure, sign="+")
