"""The sweeper ends what a producer's death has left of a batch, and counts the batches that should have ended."""

import json
from contextlib import suppress
from datetime import timedelta

import pytest

import celeriac
from celeriac import Backoff, Queue, Reject, task
from celeriac.aws.client import client
from celeriac.flow.batches import root
from celeriac.model import names
from celeriac.relay import sweeper
from celeriac.testing import Sandbox, WorkerDied
from celeriac.worker.event import Invocation
from tests.support.faults import out_of_reach

members = Queue("late-members", batch_size=10)
told = Queue("late-told")
ran: list[str] = []
dies: list[int] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    dies.clear()


@task(members, retry=Backoff(attempts=1))
def l_member(number: int) -> None:
    if number in dies:
        raise Reject("no")


@task(told)
def l_then() -> None:
    ran.append("then")


@task(told)
def l_dead() -> None:
    ran.append("dead")


def _fill(count: int, late_after: timedelta = timedelta(days=1)) -> celeriac.Batch:
    with celeriac.batch(then=l_then.bind(), dead=l_dead.bind(), key="b", late_after=late_after) as batch:
        batch.enqueue_many(l_member, ({"number": number} for number in range(count)))
    return batch


def _sweep(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> float:
    """How many late batches a sweep counts; 0 if it writes nothing of them."""
    capsys.readouterr()
    with sandbox.worker():
        sweeper.handler({}, Invocation(names.sweeper_function("test"), "r", sandbox.now + timedelta(minutes=1)))
    blobs = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"LateBatches"' in line]
    assert all(blob["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service", "stage"]] for blob in blobs)
    return sum(float(blob["LateBatches"][0]) for blob in blobs)


def _listed() -> list[str]:
    return [one for kind in (root.RUNNING, root.LATE) for shard in root.shards(kind) for one in root.listed(shard, 9)]


@pytest.mark.parametrize("count", [0, 1, 257])
def test_a_producer_that_dies_after_the_seal_leaves_a_batch_that_fires(sandbox: Sandbox, count: int) -> None:
    with suppress(WorkerDied), sandbox.worker():
        # Entering, the sends, and the seal: the nodes are never told how many children they have.
        sandbox.crash_at(2 + -(-count // 10), after=True)
        _fill(count)
    while sandbox.run_once():
        pass
    assert celeriac.batch_of("late-told#l_then:b").status().sealed_at is not None
    assert not ran
    sandbox.drain()
    assert ran == ["then"]
    assert not _listed()


def test_an_outage_after_the_seal_is_no_error_of_the_producers(sandbox: Sandbox) -> None:
    # Entering is the first one, the seal the second: what follows it is refused.
    with out_of_reach("dynamodb", "UpdateItem", calls=range(3, 40)):
        _fill(2)
    assert not ran
    sandbox.drain()
    assert ran == ["then"]


def test_a_death_before_the_seal_is_told_by_the_sweeper_too(sandbox: Sandbox) -> None:
    dies.append(0)
    with suppress(WorkerDied), sandbox.worker():
        sandbox.crash_at(3, after=True)
        _fill(1)
    sandbox.drain()
    assert ran == ["dead"]


def test_a_block_that_is_never_left_is_late_after_an_hour(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(WorkerDied), sandbox.worker():
        sandbox.crash_at(2, after=True)
        _fill(1)
    sandbox.drain()
    assert _sweep(sandbox, capsys) == 0
    sandbox.advance(timedelta(minutes=61))
    assert _sweep(sandbox, capsys) == 1
    assert _sweep(sandbox, capsys) == 1
    assert not ran
    batch = _fill(1)
    sandbox.drain()
    assert ran == ["then"]
    assert _sweep(sandbox, capsys) == 0
    assert batch.status().state == "succeeded"


def test_a_batch_with_a_dead_member_is_late_in_its_time(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    dies.append(1)
    _fill(2, late_after=timedelta(hours=3))
    sandbox.drain()
    for _ in range(8):
        sandbox.advance(timedelta(minutes=20))
        assert _sweep(sandbox, capsys) == 0
    sandbox.advance(timedelta(minutes=21))
    assert _sweep(sandbox, capsys) == 1
    assert ran == ["dead"]


def test_an_outage_ends_no_sweep(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    _fill(1, late_after=timedelta(minutes=1))
    sandbox.advance(timedelta(minutes=5))
    with out_of_reach("dynamodb", "Query") as asked:
        assert _sweep(sandbox, capsys) == 0
    assert asked


def test_nobody_asks_about_batches_that_have_fired(sandbox: Sandbox) -> None:
    _fill(3)
    sandbox.drain()
    assert not _listed()
    (item,) = [
        item
        for item in client("dynamodb").scan(TableName=names.flow_table("test"))["Items"]
        if item["pk"]["S"] == "batch#late-told#l_then:b"
    ]
    assert int(item["expires_at"]["N"]) == pytest.approx(sandbox.now.timestamp() + 36 * 24 * 3600, abs=3600)
