"""Batches and chains, and every fault at every call of AWS: `then` never early, never twice, always in the end."""

from collections import Counter
from datetime import timedelta

import pytest

import celeriac
from celeriac import RESULT, Backoff, Context, Queue, Reject, task
from celeriac.aws.client import client
from celeriac.flow.batches import tree
from celeriac.testing import Sandbox, every_fault
from tests.support.redrive import redrive_as_aws_does

fan_out = Queue("fault-fan-out")
members = Queue("fault-members", batch_size=10)
callbacks = Queue("fault-callbacks")
SOON = Backoff(base=timedelta(seconds=1), jitter=0, attempts=6)
ran: Counter[str] = Counter()
rejected: set[int] = set()
early: list[str] = []
ids: list[str] = []


@task(fan_out, retry=SOON)
def f_fill(count: int) -> None:
    with celeriac.batch(then=f_then.bind(), dead=f_dead.bind()) as batch:
        batch.enqueue_many(f_member, ({"number": number} for number in range(count)))
    ids[:] = [batch.id]


@task(members, key="number", retry=SOON)
def f_member(ctx: Context, number: int) -> None:
    if number in rejected:
        raise Reject("not now")
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"member-{number}"}, add={"count": 1})


@task(callbacks, retry=SOON)
def f_then(ctx: Context) -> None:
    assert ctx.batch is not None
    status = ctx.batch.status()
    if status.missing or status.dead:
        early.append(f"{status}")
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": "then"}, add={"count": 1})


@task(callbacks, retry=SOON)
def f_dead(ctx: Context) -> None:
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": "dead"}, add={"count": 1})


@task(members, retry=SOON)
def f_first(ctx: Context) -> None:
    ran["first"] += 1
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": "first"}, add={"count": 1})
        tx.result(f"run {ran['first']}")


@task(callbacks, retry=SOON)
def f_second(ctx: Context, got: str) -> str:
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"second got {got}"}, add={"count": 1})
        tx.result(got)
    return got


@task(members, retry=SOON)
def f_third(ctx: Context, got: str) -> None:
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"third got {got}"}, add={"count": 1})


@pytest.fixture(autouse=True)
def _empty(monkeypatch: pytest.MonkeyPatch) -> None:
    ran.clear()
    rejected.clear()
    early.clear()
    monkeypatch.setattr(tree, "WIDTH", 2)


def _counts() -> dict[str, int]:
    found = client("dynamodb").scan(TableName="celeriac-test--orders")["Items"]
    return {item["pk"]["S"]: int(item["count"]["N"]) for item in found}


@pytest.mark.parametrize("count", [0, 3])
def test_then_comes_once_after_all_members_whatever_dies(count: int) -> None:
    def scenario(sandbox: Sandbox) -> None:
        f_fill.enqueue(count=count)

    faults = every_fault(scenario)
    for _ in faults:
        wanted = {f"member-{number}": 1 for number in range(count)} | {"then": 1}
        assert _counts() == wanted, faults.story
        assert not early, faults.story
        status = celeriac.batch_of(ids[0]).status()
        assert (status.state, status.total, status.succeeded) == ("succeeded", count, count), faults.story


def test_dead_comes_once_and_a_redriven_member_goes_on() -> None:
    def scenario(sandbox: Sandbox) -> None:
        rejected.add(1)
        f_fill.enqueue(count=2)

    faults = every_fault(scenario, kinds={"dies before", "dies after", "answer lost"})
    for sandbox in faults:
        assert _counts() == {"member-0": 1, "dead": 1}, faults.story
        status = celeriac.batch_of(ids[0]).status()
        assert (status.state, status.dead) == ("dead", 1), faults.story
        rejected.clear()
        for _ in sandbox.dead_letters(members):
            redrive_as_aws_does(members)
        sandbox.drain()
        assert _counts() == {"member-0": 1, "member-1": 1, "dead": 1, "then": 1}, faults.story
        assert not early, faults.story


def test_each_step_gets_the_recorded_result_whatever_dies() -> None:
    def scenario(sandbox: Sandbox) -> None:
        ran.clear()
        celeriac.chain(f_first.bind(), f_second.bind(got=RESULT), f_third.bind(got=RESULT)).enqueue()

    faults = every_fault(scenario)
    for _ in faults:
        counts = _counts()
        (got,) = [name.removeprefix("second got ") for name in counts if name.startswith("second")]
        assert counts == {"first": 1, f"second got {got}": 1, f"third got {got}": 1}, faults.story
