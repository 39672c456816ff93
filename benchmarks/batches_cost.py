"""AWS calls and dollars that batches and chains add to effectively-once tasks.

python benchmarks/batches_cost.py

The code's own calls are counted in the Sandbox, and priced as limits_cost.py does. Of a batch with its `then`, the same
tasks without it are subtracted, those of the callback too; so a batch of none is what the batch itself costs.
"""

from collections.abc import Callable
from typing import Any

from used import TEN, Used, tell, used  # before any AWS library

import celeriac
from celeriac import RESULT, Queue, task
from celeriac.testing import Sandbox

parts = Queue("batches-parts", batch_size=TEN)
SIZES = (1, TEN, 100, 1_000)


@task(parts)
def part(number: int) -> int:
    return number


@task(parts)
def after() -> None: ...


def _plain(count: int) -> Callable[[Sandbox], object]:
    def start(_: Sandbox) -> None:
        part.enqueue_many({"number": number} for number in range(count))

    return start


def _batch(count: int) -> Callable[[Sandbox], object]:
    def start(_: Sandbox) -> None:
        with celeriac.batch(then=after.bind()) as batch:
            batch.enqueue_many(part, ({"number": number} for number in range(count)))

    return start


def _chain(steps: int) -> Callable[[Sandbox], object]:
    later: Any = [part.bind(number=RESULT) for _ in range(steps - 1)]
    return lambda _: celeriac.chain(part.bind(number=1), *later).enqueue()


def _more(start: Callable[[Sandbox], Any], tasks: int) -> Used:
    return used(start).more_than(used(_plain(tasks)))


def measure() -> dict[str, dict[str, float]]:
    """What each adds, by name."""
    itself = used(_batch(0)).more_than(used(_plain(1)))
    found = {"a batch itself, and its `then`": itself.figures}
    for size in SIZES:
        name = f"each member, of {size:,}" if size > 1 else "the member of a batch of one"
        found[name] = (_more(_batch(size), size + 1).more_than(itself) / size).figures
    found["each later step of a chain, of 10"] = (_more(_chain(TEN), TEN) / (TEN - 1)).figures
    return found


if __name__ == "__main__":
    tell(__doc__, measure, sign="+")
