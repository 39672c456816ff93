"""AWS calls and dollars of what long work uses: checkpoints, parts, progress, cancel, expiry, history.

python benchmarks/long_work_cost.py

The code's own calls are counted in the Sandbox, and priced as limits_cost.py does. For what happens within a task, or
to it, the same task without it is subtracted.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from used import Used, tell, used  # before any AWS library

from celeriac import Context, Queue, task
from celeriac.testing import Sandbox

MANY = 100
SECOND = timedelta(seconds=1)
desk = Queue("long-desk", timeout=timedelta(minutes=15), batch_size=10)
hasty = Queue("long-hasty", timeout=timedelta(seconds=30), batch_size=10)
kept = Queue("long-kept", timeout=timedelta(minutes=15), batch_size=10, history=True)
sandboxes: list[Sandbox] = []


@task(desk)
def plain() -> None: ...


@task(kept)
def remembered() -> None: ...


@task(desk, expires=timedelta(hours=1))
def greeting() -> None: ...


@task(desk)
def saving(ctx: Context) -> None:
    for number in range(MANY):
        ctx.checkpoint(number + 1, every=timedelta())


@task(desk)
def committing(ctx: Context) -> None:
    for number in range(MANY):
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": f"row-{number}"})
            tx.checkpoint(number + 1)


@task(hasty)
def going_on(ctx: Context) -> None:
    for number in range(ctx.cursor or 0, MANY):
        sandboxes[0].advance(20 * SECOND)
        ctx.checkpoint(number + 1)


@task(desk)
def reporting(ctx: Context) -> None:
    for number in range(MANY):
        sandboxes[0].advance(2 * SECOND)
        ctx.progress(number + 1, MANY)


def _once(kind: Any) -> Callable[[Sandbox], object]:
    def start(sandbox: Sandbox) -> None:
        sandboxes[:] = [sandbox]
        kind.enqueue()

    return start


def _each(kind: Any) -> Callable[[Sandbox], object]:
    return lambda _: [kind.enqueue() for _ in range(MANY)]


def _cancelled(_: Sandbox) -> None:
    for handle in [plain.enqueue() for _ in range(MANY)]:
        handle.cancel()


def _expired(sandbox: Sandbox) -> None:
    for _ in range(MANY):
        greeting.enqueue()
    sandbox.advance(timedelta(hours=2))


def measure() -> dict[str, dict[str, float]]:
    """What each uses, by name."""
    one, many = used(_once(plain)), used(_each(plain))

    def within(kind: Any, number: int = MANY) -> Used:
        return used(_once(kind)).more_than(one) / number

    found = {
        "a checkpoint": within(saving),
        "a transaction of one item, with `tx.checkpoint`": within(committing),
        "a part: a task that goes on in the next invocation": within(going_on, MANY - 1),
        "a progress that is written": within(reporting),
        "a task that is cancelled before it starts": used(_cancelled) / MANY,
        "a task that expires before it starts": used(_expired) / MANY,
        "a task that runs, for comparison": many / MANY,
        "a task that runs, with a history": used(_each(remembered)) / MANY,
    }
    return {name: its.figures for name, its in found.items()}


if __name__ == "__main__":
    tell(__doc__, measure)
