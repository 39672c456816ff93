"""The benchmarks run, and count what they say. Their ratios are for `make bench`, on a quiet machine."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _figures(script: str, *options: str) -> Any:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{script}.py"), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def costs() -> dict[str, Any]:
    found: dict[str, Any] = _figures("cost")["costs"]
    return found


@pytest.fixture(scope="module")
def limits() -> dict[str, Any]:
    found: dict[str, Any] = _figures("limits_cost")
    return found


@pytest.fixture(scope="module")
def long_work() -> dict[str, Any]:
    found: dict[str, Any] = _figures("long_work_cost")
    return found


@pytest.fixture(scope="module")
def batches() -> dict[str, Any]:
    found: dict[str, Any] = _figures("batches_cost")
    return found


@pytest.mark.parametrize(
    ("mode", "calls", "units"),
    [
        ("at_least_once", 1.2, 0),
        ("at_most_once", 3.2, 2),
        ("effectively_once", 3.2, 2),
        ("effectively_once with ctx.transaction()", 3.2, 5),
        ("outbox event, one at_least_once subscriber", 1.31, 8),
    ],
)
def test_the_calls_and_write_units_of_each_mode(costs: dict[str, Any], mode: str, calls: float, units: float) -> None:
    found = costs[mode]
    assert (round(found["calls_a_task"], 2), found["write_units_a_task"]) == (calls, units)


@pytest.mark.parametrize(
    ("mode", "calls", "writes"),
    [
        ("Rate, nobody waits, one lane", 1.11, 1),
        ("Concurrent, nobody waits", 0.31, 0.2),
        ("Breaker, nothing fails", 0.11, 0),
        ("Unique, no duplicates", 4, 2),
        ("Debounce, bursts of ten", -1.4, -1.6),
    ],
)
def test_what_each_limit_adds(limits: dict[str, Any], mode: str, calls: float, writes: float) -> None:
    found = limits[mode]
    assert (round(found["calls"], 2), round(found["write_units"], 2)) == (calls, writes)


@pytest.mark.parametrize(
    ("what", "calls", "writes"),
    [
        ("a checkpoint", 1, 1),
        ("a transaction of one item, with `tx.checkpoint`", 1, 4),
        ("a progress that is written", 1, 1),
        ("a task that is cancelled before it starts", 3, 2),
        ("a task that expires before it starts", 2, 1),
        ("a task that runs, for comparison", 3, 2),
        ("a task that runs, with a history", 3, 3),
    ],
)
def test_what_long_work_uses(long_work: dict[str, Any], what: str, calls: float, writes: float) -> None:
    found = long_work[what]
    assert (round(found["calls"], 2), round(found["write_units"], 2)) == (calls, writes)


@pytest.mark.parametrize(
    ("what", "calls", "writes"),
    [
        ("a batch itself, and its `then`", 3, 3),
        ("the member of a batch of one", 4, 2),
        ("each member, of 10", 1.2, 1.1),
        ("each later step of a chain, of 10", 2.11, 0),
    ],
)
def test_what_batches_and_chains_add(batches: dict[str, Any], what: str, calls: float, writes: float) -> None:
    found = batches[what]
    assert (round(found["calls"], 2), round(found["write_units"], 2)) == (calls, writes)


def test_a_part_uses_four_calls(long_work: dict[str, Any]) -> None:
    (part,) = (figures for what, figures in long_work.items() if what.startswith("a part"))
    assert round(part["calls"]) == 4  # its checkpoint, the next message, its record and its claim


def test_a_message_costs_the_consumer_no_more_than_twice_a_bare_one() -> None:
    """A loose bound, for a machine that is busy: what it catches is an error, or work of another order."""
    assert 0 < _figures("consumer_cpu", "--rounds", "1", "--latency-ms", "1")["cpu"]["median"] < 2


def test_a_worker_and_a_script_stay_small_however_many_messages_there_are() -> None:
    found = _figures("scale", "--batch", "10000", "--messages", "20000")
    for part in ("batch", "stream", "threads"):
        assert found[part]["memory_mb"] < 256  # the smallest worker that Celeriac's stacks make has 512 MB
        assert found[part]["large_us"] < 3 * found[part]["small_us"]  # work that grows with the square: 10


def test_an_event_costs_the_relay_a_ninth_of_a_call() -> None:
    one = _figures("relay_throughput", "--rounds", "1", "--latency-ms", "1")["by_subscribers"][0]
    assert one["calls"] == {"SendMessageBatch": 10, "TransactWriteItems": 1}
