"""Lambda refuses every invocation for a while: each receive counts, and nothing is lost or charged."""

from datetime import timedelta

import pytest

from celeriac import Context, Queue, task, transaction
from celeriac.testing import Sandbox

standard = Queue("throttled-standard")
quick = Queue("throttled-quick", timeout=timedelta(seconds=1))
slow = Queue("throttled-slow", timeout=timedelta(minutes=15))
ordered = Queue("throttled-ordered", fifo=True)
runs: list[tuple[str, int, int]] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()


@task(standard)
def usual(ctx: Context, number: int) -> None:
    runs.append(("usual", number, ctx.attempt))


@task(quick, timeout=timedelta(seconds=1))
def brief(ctx: Context, number: int) -> None:
    runs.append(("brief", number, ctx.attempt))


@task(slow)
def long(ctx: Context, number: int) -> None:
    runs.append(("long", number, ctx.attempt))


@task(ordered)
def in_order(ctx: Context, number: int) -> None:
    runs.append(("in_order", number, ctx.attempt))


@task(standard, on="throttled.happened")
def told(ctx: Context, number: int) -> None:
    runs.append(("told", number, ctx.attempt))


@pytest.mark.parametrize("hours", [1, 10])
def test_throttled_hours_dead_letter_nothing_and_charge_nothing(sandbox: Sandbox, hours: int) -> None:
    for number in range(3):
        for each in (usual, long):
            each.enqueue(number=number)
        in_order.options(group="g").enqueue(number=number)
        if hours == 1:  # six seconds of visibility, and SQS counts no further than a thousand receives
            brief.enqueue(number=number)
    with transaction() as tx:
        tx.emit("throttled.happened", {"number": 1}, aggregate="a")
    sandbox.throttle(timedelta(hours=hours))
    assert runs == []
    for queue in (standard, quick, slow, ordered):
        assert sandbox.dead_letters(queue) == []
    sandbox.drain()
    expected = {(name, number, 1) for name in ("usual", "long", "in_order") for number in range(3)}
    expected |= {("brief", number, 1) for number in range(3) if hours == 1} | {("told", 1, 1)}
    assert sorted(runs) == sorted(expected)
    assert [number for name, number, _ in runs if name == "in_order"] == [0, 1, 2]


def test_a_queue_with_few_receives_is_dead_lettered_by_throttling(sandbox: Sandbox) -> None:
    """What the default protects from: this is AWS's usual advice."""
    few.enqueue()
    sandbox.throttle(timedelta(minutes=20))
    (letter,) = sandbox.dead_letters(hasty)
    assert letter.failure is None  # SQS moved it
    assert hasty.survives == timedelta(minutes=15)


hasty = Queue("throttled-hasty", max_receives=5)


@task(hasty)
def few() -> None: ...
