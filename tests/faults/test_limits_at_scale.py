"""Large batches of limited tasks: ten times the messages are ten times the work, and lanes leave each other alone."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Concurrent, Queue, Rate, task
from celeriac.consume.handler import handler
from celeriac.flow import rows
from celeriac.testing import Call, Sandbox
from celeriac.worker.event import Invocation
from tests.support.large_batch import batch_of, calls_of

flood = Queue("flood", batch_size=10_000, batch_window=timedelta(seconds=5), concurrency=5)
flood_rate = Rate("flood-rate", 1_000_000, burst=100_000)
flood_of = Rate("flood-of", 10, by="number")
flood_rooms = Concurrent("flood-rooms", 5)
flood_cells = Concurrent("flood-cells", 1, by="number")


@task(flood, limits=[flood_rate], delivery="at_least_once")
def pour(number: int) -> None: ...


@task(flood, limits=[flood_of], delivery="at_least_once")
def pour_each(number: int) -> None: ...


@task(flood, limits=[flood_rooms], delivery="at_least_once")
def pour_in_rooms(number: int) -> None: ...


@task(flood, limits=[flood_cells], delivery="at_least_once")
def pour_in_cells(number: int) -> None: ...


@pytest.fixture
def _eager_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def _at_once(call: Call) -> Any:
    """An answer without the work of a table, which would hide what the consumer itself does."""
    if call.operation == "BatchGetItem":
        return {"Responses": {}, "UnprocessedKeys": {}}
    if call.operation == "UpdateItem":
        return {"Attributes": call.arguments["Key"] | {"holders": {"M": {}}, "spent": {"N": str(rows.now())}}}
    return call.make()


@pytest.mark.parametrize("name", ["pour", "pour_each", "pour_in_rooms", "pour_in_cells"])
def test_ten_times_the_messages_are_ten_times_the_work(sandbox: Sandbox, name: str) -> None:
    def run(size: int) -> int:
        batch, worker = (
            batch_of(flood, name, size),
            Invocation("celeriac-test--flood", "r-1", sandbox.now + flood.timeout),
        )
        return calls_of(lambda: handler(batch, worker))

    with sandbox.worker(), sandbox.fault(_at_once):
        run(10)  # what is done once in a worker
        assert run(3000) < 12 * run(300)


@pytest.mark.usefixtures("_eager_switches")
def test_lanes_that_ask_side_by_side_dont_trip_over_each_other(sandbox: Sandbox) -> None:
    batch = batch_of(flood, "pour_each", 400)
    answer = handler(batch, Invocation("celeriac-test--flood", "r-1", sandbox.now + flood.timeout))
    assert answer == {"batchItemFailures": []}
