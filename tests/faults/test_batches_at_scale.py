"""A fan-out whose producer and workers die at random calls. From 65,537 members on the tree has three levels."""

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Backoff, Context, Queue, task
from celeriac.testing import Sandbox, WorkerDied, die
from celeriac.testing.calls import Call

many = Queue("scale-many", batch_size=10, timeout=timedelta(minutes=5))
ending = Queue("scale-ending")
LENGTH = 500
"""So many members wait in the queue at most. A smaller batch is filled before the first one runs."""
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


class Play:
    """A batch of so many members. Its first producer dies half-way, and workers die now and then."""

    def __init__(self, sandbox: Sandbox, count: int, chance: random.Random) -> None:
        self._sandbox, self._count, self._chance = sandbox, count, chance
        self._is_draining = False
        self._producer_dies = False
        self.producers = 0
        self.deaths = 0
        """Those of workers."""

    def strike(self, call: Call) -> Any:
        """The fault: let a worker die at one of 300 calls, and the first producer in the middle."""
        if not self._is_draining:
            if self._producer_dies:
                self._producer_dies = False
                die()
            return call.make()
        where = self._chance.random() * 300
        if where < 1:
            self.deaths += 1
            if where < 0.5:
                call.make()
            die()
        return call.make()

    def drain(self) -> None:
        self._is_draining = True
        self._sandbox.drain()
        self._is_draining = False

    def fill(self) -> str:
        """Fill the batch, while consumers work on what is there already: moto slows down with long queues."""
        with celeriac.batch(then=s_then.bind(), key="all") as batch:
            batch.enqueue_many(s_member, self._rows())
        return batch.id

    def _rows(self) -> Iterator[dict[str, int]]:
        for number in range(self._count):
            if number % LENGTH == LENGTH - 1:
                self.drain()
            if number == self._count // 2:
                self._producer_dies = self.producers == 1
            yield {"number": number}

    def fill_until_sealed(self) -> str:
        """Fill the batch again and again, as an attempt follows another, until one lives to its end."""
        while True:
            self.producers += 1
            with suppress(WorkerDied), self._sandbox.worker():
                return self.fill()


def play(count: int, seed: int = 0) -> tuple[Play, Counter[str]]:
    """Fill a batch of so many members and run it. Returns who died, and the calls of AWS."""
    ran.clear()
    seen.clear()
    with Sandbox() as sandbox:
        played = Play(sandbox, count, random.Random(seed))  # noqa: S311 - no secret
        with sandbox.fault(played.strike):
            batch_id = played.fill_until_sealed()
            played.drain()
        status = celeriac.batch_of(batch_id).status()
        calls = sandbox.calls
    assert (status.state, status.total, status.succeeded) == ("succeeded", count, count)
    assert seen == [(count, count, 0)]
    assert len(ran) == count
    assert played.producers == 2
    assert played.deaths > 0
    return played, Counter({f"{service} {operation}": number for (service, operation), number in calls.items()})


@pytest.mark.parametrize("count", [257, 600])
def test_a_fan_out_ends_whoever_dies(count: int) -> None:
    play(count)


def main(count: int = 70_000) -> None:
    """Play one fan-out, and print what it took."""
    begun = time.monotonic()
    played, calls = play(count)
    said = ", ".join(f"{number:,} {call}" for call, number in calls.most_common(8))
    died = f"the producer and {played.deaths} workers died"
    took = time.monotonic() - begun
    print(f"{count:,} members, {died}, {ran.total():,} runs, `then` came once, {took:.0f} s: {said}")  # noqa: T201 - a command


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
