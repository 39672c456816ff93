"""A fan-out whose producer and workers die at random calls. From 65,537 members on the tree has three levels."""

import random
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest

import celeriac
from celeriac import Backoff, Context, Queue, task
from celeriac.testing import Sandbox, WorkerDied

many = Queue("scale-many", batch_size=10, timeout=timedelta(minutes=5))
ending = Queue("scale-ending")
SOON = Backoff(base=timedelta(seconds=1), jitter=0, attempts=9)
ran: Counter[int] = Counter()
seen: list[tuple[int, int, int]] = []


@task(many, key="number", retry=SOON)
def s_member(number: int) -> None:
    ran[number] += 1


@task(ending, retry=SOON)
def s_then(ctx: Context) -> None:
    assert ctx.batch is not None
    status = ctx.batch.status()
    seen.append((status.total, status.succeeded, status.dead))


def fill(count: int) -> str:
    with celeriac.batch(then=s_then.bind(), key="all") as batch:
        batch.enqueue_many(s_member, ({"number": number} for number in range(count)))
    return batch.id


def play(count: int, seed: int = 0) -> Counter[str]:
    """Fill a batch of so many members and run it, while workers die. Returns the calls of AWS."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    ran.clear()
    seen.clear()
    with Sandbox() as sandbox:
        with suppress(WorkerDied), sandbox.worker():
            sandbox.crash_at(max(count // 20, 1))
            fill(count)
        with sandbox.worker():
            batch_id = fill(count)
        for _ in range(20 + count // 500):
            sandbox.crash_at(chance.randint(1, 8 * count + 100), after=chance.random() < 0.5)
        sandbox.drain()
        status = celeriac.batch_of(batch_id).status()
        calls = sandbox.calls
    assert (status.state, status.total, status.succeeded) == ("succeeded", count, count)
    assert seen == [(count, count, 0)]
    assert len(ran) == count
    return Counter({f"{service} {operation}": number for (service, operation), number in calls.items()})


@pytest.mark.parametrize("count", [257, 600])
def test_a_fan_out_ends_whoever_dies(count: int) -> None:
    play(count)


def main(count: int = 70_000) -> None:
    """Play one fan-out, and print what it took."""
    begun = time.monotonic()
    calls = play(count)
    said = ", ".join(f"{number:,} {call}" for call, number in calls.most_common(8))
    print(f"{count:,} members held, then came once, {time.monotonic() - begun:.0f} s: {said}")  # noqa: T201 - a command


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
