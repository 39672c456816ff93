"""A batch calls `then` once when all its members have succeeded, and `dead` once at the first dead letter."""

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import pytest

import celeriac
from celeriac import RESULT, Backoff, BatchError, BatchStatus, Context, Queue, Reject, Unique, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.flow.batches import root, tree
from celeriac.leases import lease
from celeriac.leases.claim import Claim
from celeriac.model.failure import Failure
from celeriac.testing import Sandbox
from tests.support.redrive import redrive_as_aws_does

chunks = Queue("batch-chunks", batch_size=10)
calls = Queue("batch-calls")
FAST = Backoff(base=timedelta(seconds=1), jitter=0, attempts=2)
ran: Counter[Any] = Counter()
rejected: set[int] = set()
seen: list[tuple[str, str | None, BatchStatus, list[int]]] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    rejected.clear()
    seen.clear()


@task(chunks, retry=FAST)
def b_load(number: int) -> None:
    ran[number] += 1
    if number in rejected:
        raise Reject("not this one")


@task(chunks, retry=FAST, delivery="at_least_once")
def b_mail(number: int) -> None:
    ran[number] += 1


@task(calls)
def b_summarise(ctx: Context, month: str) -> None:
    assert ctx.batch is not None
    ran["then", month] += 1
    seen.append((ctx.batch.id, ctx.batch.key, ctx.batch.status(), []))


@task(calls)
def b_tell(ctx: Context) -> None:
    assert ctx.batch is not None
    ran["dead"] += 1
    dead = ctx.batch.dead_members()
    seen.append((ctx.batch.id, ctx.batch.key, ctx.batch.status(), [each.index for each in dead]))


@task(calls, unique=Unique(by="number"))
def b_once(number: int) -> None: ...


def _called() -> tuple[int, int]:
    """How often `dead` and `then` ran."""
    return ran["dead"], ran["then", "2026-10"]


def _batch(count: int, key: str | None = None) -> celeriac.Batch:
    with celeriac.batch(then=b_summarise.bind(month="2026-10"), dead=b_tell.bind(), key=key) as batch:
        batch.enqueue_many(b_load, ({"number": number} for number in range(count)))
    return batch


@pytest.mark.parametrize("count", [0, 1, 2, 11, 255, 256, 257, 600])
def test_then_comes_once_after_all_members(sandbox: Sandbox, count: int) -> None:
    batch = _batch(count)
    sandbox.drain()
    assert all(ran[number] == 1 for number in range(count))
    assert ran["then", "2026-10"] == 1
    assert not ran["dead"]
    status = batch.status()
    assert (status.state, status.total, status.succeeded, status.dead) == ("succeeded", count, count, 0)
    assert status.has_fired


def test_then_waits_for_each_member(sandbox: Sandbox) -> None:
    with celeriac.batch(then=b_summarise.bind(month="x")) as batch:
        batch.enqueue(b_load.options(delay=timedelta(hours=3)), number=1)
        batch.enqueue(b_load, 2)
        batch.enqueue(b_mail, number=3)
    sandbox.advance(timedelta(minutes=5))
    while sandbox.run_once():
        pass
    status = batch.status()
    assert (status.succeeded, status.missing) == (2, 1)
    assert sum(ran.values()) == 2
    sandbox.drain()
    assert ran["then", "x"] == 1


def test_a_dead_member_calls_dead_once_and_its_redrive_calls_then(sandbox: Sandbox) -> None:
    rejected.update({1, 300, 301})
    batch = _batch(600, key="k-1")
    sandbox.drain()
    assert _called() == (1, 0)
    status = batch.status()
    assert (status.state, status.succeeded, status.dead, status.missing) == ("dead", 597, 3, 0)
    assert seen[0][1] == "k-1"
    members = celeriac.batch_of(batch.id).dead_members()
    assert [member.index for member in members] == [1, 300, 301]
    assert {celeriac.handle(member.ref).status().state for member in members} == {"dead"}
    assert {member.queue for member in members} == {chunks.name}
    assert [each.index for each in celeriac.batch_of(batch.id).dead_members(after=1, limit=1)] == [300]
    rejected.clear()
    for _ in range(3):
        redrive_as_aws_does(chunks)
    sandbox.drain()
    assert _called() == (1, 1)
    assert batch.status().state == "succeeded"


def test_an_error_in_the_block_calls_nothing(sandbox: Sandbox) -> None:
    with pytest.raises(ZeroDivisionError), celeriac.batch(then=b_summarise.bind(month="x"), key="k") as batch:
        batch.enqueue_many(b_load, [{"number": 1}, {"number": 2}])
        _ = 1 / 0
    sandbox.drain()
    assert ran == Counter({1: 1, 2: 1})
    assert batch.status().state == "open"
    with celeriac.batch(then=b_summarise.bind(month="x"), key="k") as again:
        batch_id = again.id
        again.enqueue(b_load, number=1)
    assert batch_id == batch.id
    sandbox.drain()
    assert ran == Counter({1: 2, 2: 1, ("then", "x"): 1})


def test_a_batch_of_the_same_key_is_filled_once(sandbox: Sandbox) -> None:
    first = _batch(3, key="import-7")
    sandbox.drain()
    with celeriac.batch(then=b_summarise.bind(month="other"), key="import-7") as batch:
        assert batch.duplicate
        handle = batch.enqueue(b_load, number=0)
    assert batch.id == first.id
    assert handle.status().state == "succeeded"
    sandbox.drain()
    assert ran == Counter({0: 1, 1: 1, 2: 1, ("then", "2026-10"): 1})


@task(calls, retry=FAST)
def b_fill(kind: str) -> None:
    ran["fill", kind] += 1
    for month in ("a", "b"):
        key = month if kind == "keys" else None
        with celeriac.batch(then=b_summarise.bind(month=month), key=key) as batch:
            batch.enqueue(b_load, number=len(month))
        if kind == "fails" and ran["fill", kind] == 1:
            raise ConnectionError
        if kind in {"fails", "one"}:
            return


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("keys", {"a": 1, "b": 1}), ("one", {"a": 1}), ("fails", {"a": 1}), ("several", {"a": 1})],
)
def test_a_batch_of_a_task_belongs_to_its_message(sandbox: Sandbox, kind: str, wanted: dict[str, int]) -> None:
    b_fill.enqueue(kind=kind)
    sandbox.drain()
    assert {month: ran["then", month] for month in "ab" if ran["then", month]} == wanted
    letters = sandbox.dead_letters(calls)
    assert [letter.failure and letter.failure.type for letter in letters] == (
        ["celeriac.BatchError"] if kind == "several" else []
    )


@task(chunks, retry=FAST)
def b_checkpoint(ctx: Context, how: str) -> None:
    with celeriac.batch(then=b_summarise.bind(month="x")) as batch:
        batch.enqueue(b_load, number=1)
        if how == "context":
            ctx.checkpoint(1)
        else:
            with ctx.transaction() as tx:
                tx.checkpoint(1)


@task(chunks, key="name", delivery="at_most_once")
def b_launch(name: str) -> None:
    ran["launch", name] += 1
    if ran["launch", name] == 1 and name == "fails":
        raise Reject("once")


def test_a_member_waits_for_another_message_of_its_key_that_is_to_run_again(sandbox: Sandbox) -> None:
    first = b_launch.enqueue(name="a")
    body = {"v": 2, "id": first.id, "task": "b_launch", "args": {"name": "a"}, "step": 1}
    client("sqs").purge_queue(QueueUrl=sqs.url(chunks.physical_name("test")))
    until = sandbox.now + timedelta(minutes=1)
    lease.claim(
        Claim("b_launch", first.key, first.id, 1, until=until, retention=timedelta(days=18), once=True)
    ).retrying(Failure("failed"), sandbox.now + timedelta(hours=1), charged=False)  # it was cut off before it began
    with celeriac.batch(then=b_summarise.bind(month="x")) as batch:
        member = batch.enqueue(b_launch, name="a")
    sandbox.advance(timedelta(minutes=40))
    sandbox.run_once()
    assert batch.status().missing == 1
    sandbox.send(chunks, body)
    sandbox.drain()
    assert ran == Counter({("launch", "a"): 1, ("then", "x"): 1})
    assert member.status().duplicate_of == first.id


def test_a_member_whose_key_is_dead_is_a_letter_that_ends_after_the_other_one(sandbox: Sandbox) -> None:
    b_launch.enqueue(name="fails")
    sandbox.drain()
    with celeriac.batch(then=b_summarise.bind(month="x")) as batch:
        batch.enqueue(b_launch, name="fails")
    sandbox.drain()
    reasons = {letter.failure.reason for letter in sandbox.dead_letters(chunks) if letter.failure is not None}
    assert reasons == {"rejected", "key dead"}
    assert batch.status().state == "dead"
    for _ in range(2):
        redrive_as_aws_does(chunks)
        sandbox.drain()
    while sandbox.dead_letters(chunks):
        redrive_as_aws_does(chunks)
        sandbox.drain()
    assert ran == Counter({("launch", "fails"): 2, ("then", "x"): 1})


@pytest.mark.parametrize("how", ["context", "transaction"])
def test_a_checkpoint_in_the_block_is_refused(sandbox: Sandbox, how: str) -> None:
    b_checkpoint.enqueue(how=how)
    sandbox.drain()
    (letter,) = sandbox.dead_letters(chunks)
    assert letter.failure is not None
    assert "in the block of a batch" in letter.failure.message
    assert not ran["then", "x"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (celeriac.batch, "takes a callback"),
        (lambda: celeriac.batch(then=cast("Any", b_tell)), r"task.bind"),
        (lambda: celeriac.batch(then=b_tell.bind(), dead=b_load.bind(number=1)), "one queue"),
        (lambda: celeriac.batch(then=b_summarise.bind(month=RESULT)), "ctx.batch"),
        (lambda: celeriac.batch(then=b_tell.bind(), key=""), "isn't empty"),
        (lambda: celeriac.batch(then=b_tell.bind(), key="k" * 513), "512 bytes"),
        (lambda: celeriac.batch(then=b_tell.bind(), late_after=timedelta()), "late_after"),
        (lambda: celeriac.batch_of("x"), "no id of a batch"),
        (lambda: celeriac.batch(then=b_tell.bind()).id, "isn't entered"),
        (lambda: celeriac.batch(then=b_once.bind(number=1)), "unique"),
    ],
)
def test_a_batch_that_cant_be_kept_is_refused(sandbox: Sandbox, wrong: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError, BatchError), match=text):
        wrong()


def test_a_unique_task_is_no_member(sandbox: Sandbox) -> None:
    with pytest.raises(TypeError, match="unique"), celeriac.batch(then=b_tell.bind()) as batch:
        batch.enqueue(b_once, number=1)
    with pytest.raises(BatchError, match="block is over"):
        batch.enqueue(b_load, number=1)


def test_a_batch_in_a_transaction_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(celeriac.TransactionError, match="before the commit"), celeriac.transaction():
        celeriac.batch(then=b_tell.bind()).__enter__()


def test_members_that_werent_sent_call_nothing(sandbox: Sandbox) -> None:
    with (
        pytest.raises(BatchError, match="caught in its block"),
        sandbox.worker(),
        celeriac.batch(then=b_tell.bind()) as b,
    ):
        sandbox.outage("sqs", "SendMessageBatch", for_=timedelta(minutes=1), code="InternalServerError")
        with pytest.raises(celeriac.PartialFailureError) as failed:
            b.enqueue_many(b_load, [{"number": 1}])
        assert failed.value.unsent[0][0] == {"number": 1}
    sandbox.advance(timedelta(hours=1))
    sandbox.drain()
    assert not ran


def test_an_error_in_the_block_makes_no_late_batch(sandbox: Sandbox) -> None:
    with suppress(ZeroDivisionError), celeriac.batch(then=b_tell.bind()):
        _ = 1 / 0
    assert not [batch for shard in root.shards(root.RUNNING) for batch in root.listed(shard, 9)]


async def _filled() -> celeriac.Batch:
    async with celeriac.batch(then=b_summarise.bind(month="x")) as batch:
        await batch.aenqueue(b_load, number=1)
        await batch.aenqueue_many(b_load, [{"number": 2}])
    return batch


def test_async_twins(sandbox: Sandbox) -> None:
    batch = asyncio.run(_filled())
    sandbox.drain()
    assert ran == Counter({1: 1, 2: 1, ("then", "x"): 1})
    assert asyncio.run(batch.astatus()).state == "succeeded"


def test_the_tree_counts_every_member_once() -> None:
    for total in (1, 255, 256, 257, 65_536, 65_537, 1_000_000):
        lasts = list(tree.lasts(total))
        assert [last.is_top for last in lasts] == [False] * (len(lasts) - 1) + [True]
        for last in lasts:
            nodes = tree.nodes_of(last.level, total)
            assert last.node == nodes - 1
            if nodes < 300:
                assert sum(tree.members_under(last.level, node, total) for node in range(nodes)) == total
