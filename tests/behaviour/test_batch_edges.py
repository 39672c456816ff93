"""Batches where a death, a thread, a stranger or another release comes at a bad moment."""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

import celeriac
from celeriac import RESULT, Backoff, BatchError, Context, Debounce, Queue, Reject, Unique, task
from celeriac.aws.client import client
from celeriac.compose import batch as compose_batch
from celeriac.flow import rows
from celeriac.flow.batches import root
from celeriac.testing import Sandbox, WorkerDied
from celeriac.testing.calls import Call
from celeriac_console.main import app
from tests.support.redrive import redrive_as_aws_does

fills = Queue("edge-fills")
parts = Queue("edge-parts", batch_size=10)
short = Queue("edge-short", retention=timedelta(days=1))
ends = Queue("edge-ends")
SOON = Backoff(base=timedelta(seconds=1), jitter=0, attempts=3)
ran: Counter[Any] = Counter()
rejected: set[int] = set()
told: list[list[int]] = []
got: list[int] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    rejected.clear()
    told.clear()
    got.clear()


@task(parts, retry=SOON)
def g_part(number: int) -> int:
    ran[number] += 1
    if number in rejected:
        raise Reject("not this one")
    return number


@task(short, retry=SOON)
def g_short(number: int) -> None:
    ran[number] += 1


@task(ends)
def g_then() -> None:
    ran["then"] += 1


@task(ends)
def g_dead(ctx: Context) -> None:
    assert ctx.batch is not None
    ran["dead"] += 1
    told.append([each.index for each in ctx.batch.dead_members()])


@task(ends)
def g_large(text: str) -> None:
    ran["large"] += 1


@task(ends)
def g_next(number: int) -> None:
    got.append(number)


@task(fills, retry=SOON)
def g_pages(ctx: Context, first: str) -> None:
    if first == "batch":
        with celeriac.batch(then=g_then.bind()) as batch:
            batch.enqueue(g_part, number=1)
    ctx.checkpoint(1, every=timedelta())
    if first == "checkpoint":
        with celeriac.batch(then=g_then.bind()) as batch:
            batch.enqueue(g_part, number=1)


@task(fills, retry=SOON)
def g_keyed_pages(ctx: Context) -> None:
    for page in range(ctx.cursor or 0, 3):
        with celeriac.batch(then=g_then.bind(), key=f"page {page}") as batch:
            batch.enqueue(g_part, number=page)
        ctx.checkpoint(page + 1, every=timedelta())


@task(fills, retry=SOON)
def g_fill(number: int) -> None:
    with celeriac.batch(then=g_then.bind()) as batch:
        batch.enqueue(g_part, number=number)


@task(fills, retry=SOON)
def g_fill_too(number: int) -> None:
    with celeriac.batch(then=g_then.bind()) as batch:
        batch.enqueue(g_part, number=number)


@task(fills, retry=SOON)
def g_commit(ctx: Context, what: str) -> None:
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": "o-1"})
    try:
        if what == "batch":
            celeriac.batch(then=g_then.bind(), key="k").__enter__()
        else:
            celeriac.chain(g_part.bind(number=1)).enqueue()
    except celeriac.TransactionError as error:
        ran[str(error)] += 1


@task(fills, unique=Unique(by="who"), retry=Backoff(base=timedelta(minutes=5), jitter=0))
def g_unique(number: int, who: str) -> None:
    ran[f"attempts of {number}"] += 1
    if number == 0 and ran["attempts of 0"] == 1:
        raise ConnectionError("it waits, and the others come meanwhile")
    ran[number] += 1


@task(fills, debounce=Debounce(by="who", period=timedelta(seconds=5), max_wait=timedelta(seconds=20)))
def g_debounced(number: int, who: str) -> None:
    ran[number] += 1


def _console(*arguments: str) -> str:
    return " ".join(CliRunner().invoke(app, ["--stage", "test", "batches", *arguments]).output.split())


# Names.


@pytest.mark.parametrize("first", ["batch", "checkpoint"])
def test_a_batch_without_a_key_beside_checkpoints_is_refused(sandbox: Sandbox, first: str) -> None:
    g_pages.enqueue(first=first)
    sandbox.drain()
    (letter,) = sandbox.dead_letters(fills)
    assert letter.failure is not None
    assert "Give each batch a key=" in letter.failure.message


def test_a_batch_for_each_part_has_a_key(sandbox: Sandbox) -> None:
    g_keyed_pages.enqueue()
    sandbox.crash_at(9)
    sandbox.drain()
    assert ran["then"] == 3


def test_two_tasks_with_messages_of_one_id_fill_a_batch_each(sandbox: Sandbox) -> None:
    for number, each in enumerate((g_fill, g_fill_too)):
        sandbox.send(fills, {"task": each.name, "id": "import-1", "args": {"number": number}})
    sandbox.drain()
    assert ran == Counter({0: 1, 1: 1, "then": 2})


@pytest.mark.parametrize("what", ["batch", "chain"])
def test_nothing_begins_after_the_commit_that_nobody_would_begin_again(sandbox: Sandbox, what: str) -> None:
    g_commit.enqueue(what=what)
    sandbox.drain()
    (said,) = ran
    assert said.startswith(f"a {what} after the task's transaction is lost if AWS refuses a call")


@pytest.mark.parametrize(
    "callback",
    [
        g_next.options(at=datetime(2027, 1, 1, tzinfo=UTC)).bind(number=1),
        g_next.options(expires=datetime(2027, 1, 1, tzinfo=UTC)).bind(number=1),
    ],
    ids=["at", "expires"],
)
def test_a_callback_has_no_instant(callback: Any) -> None:
    with pytest.raises(TypeError, match="nobody knows when the batch ends"):
        celeriac.batch(then=callback)


@pytest.mark.parametrize("key", ["\ud800\U0001f600", "a\udfff"])
def test_half_a_surrogate_pair_is_no_key(key: str) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        celeriac.batch(then=g_then.bind(), key=key)


# Filling.


@pytest.mark.parametrize("many", [True, False])
def test_a_thread_adds_nothing_while_the_batch_is_sealed(sandbox: Sandbox, *, many: bool) -> None:
    """Else its member would be sent behind the seal, and counted for one that hasn't ended; or never be sent."""
    refused: list[str] = []

    def add() -> None:
        try:
            if many:
                batch.enqueue_many(g_part, [{"number": 9}])
            else:
                batch.enqueue(g_part, number=9)
        except BatchError as error:
            refused.append(str(error))

    def strike(call: Call) -> Any:
        if call.operation == "UpdateItem" and "#total = :total" in call.arguments["UpdateExpression"]:
            thread = Thread(target=add)
            thread.start()
            thread.join()
        return call.make()

    with sandbox.worker(), sandbox.fault(strike), celeriac.batch(then=g_then.bind(), key="a") as batch:
        batch.enqueue(g_part, number=0)
        batch.enqueue(g_part.options(delay=timedelta(minutes=10)), number=1)
    assert refused == ["the batch's block is over: members are added in it"]
    while sandbox.run_once():
        pass
    assert ran == Counter({0: 1})
    sandbox.drain()
    assert ran == Counter({0: 1, 1: 1, "then": 1})


def test_the_seal_waits_for_members_that_another_thread_sends(sandbox: Sandbox) -> None:
    """They are counted when they are added: sealed before they are sent, a refused one would be waited for in vain."""
    inside, leaves = Event(), Event()

    def add() -> None:
        with suppress(celeriac.PartialFailureError):
            batch.enqueue_many(g_part, [{"number": 1}])

    def strike(call: Call) -> Any:
        if call.operation == "UpdateItem" and "#total = :total" in call.arguments["UpdateExpression"]:
            leaves.set()
        if call.operation != "SendMessageBatch":
            return call.make()
        inside.set()
        leaves.wait(0.2)  # a real thread: so long the batch might be sealed
        raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, call.operation)

    with (
        pytest.raises(BatchError, match="not sent"),
        sandbox.worker(),
        sandbox.fault(strike),
        celeriac.batch(then=g_then.bind(), key="a") as batch,
    ):
        thread = Thread(target=add)
        thread.start()
        inside.wait(5)
    thread.join()
    assert not leaves.is_set()
    sandbox.drain()
    assert not ran


def test_what_came_before_an_error_of_the_items_are_the_members(sandbox: Sandbox) -> None:
    def items() -> Any:
        yield from ({"number": number} for number in range(3))
        raise OSError("the file is cut")

    with celeriac.batch(then=g_then.bind()) as batch:
        with suppress(OSError):
            batch.enqueue_many(g_part, items())
        batch.enqueue(g_part, number=7)
    sandbox.drain()
    assert ran == Counter({0: 1, 1: 1, 2: 1, 7: 1, "then": 1})
    assert batch.status().total == 4


# Deaths.


def test_a_member_that_died_and_was_redriven_while_the_block_ran_is_told(sandbox: Sandbox) -> None:
    rejected.add(0)
    with celeriac.batch(then=g_then.bind(), dead=g_dead.bind(), key="a") as batch:
        batch.enqueue_many(g_part, [{"number": 0}])
        sandbox.drain()
        rejected.clear()
        redrive_as_aws_does(parts)
        sandbox.drain()
    sandbox.drain()
    assert (ran["dead"], ran["then"]) == (1, 1)


def test_a_member_that_is_redriven_before_its_death_is_reported_is_told(sandbox: Sandbox) -> None:
    rejected.add(0)
    with celeriac.batch(then=g_then.bind(), dead=g_dead.bind(), key="a") as batch:
        batch.enqueue(g_part, number=0)
        batch.enqueue(g_part.options(delay=timedelta(minutes=30)), number=1)
    sandbox.outage("dynamodb", "UpdateItem", table="flow", for_=timedelta(seconds=1))
    sandbox.run_once()
    assert sandbox.dead_letters(parts)
    rejected.clear()
    redrive_as_aws_does(parts)
    sandbox.advance(timedelta(seconds=1))
    sandbox.drain()
    assert (ran["dead"], ran["then"]) == (1, 1)


def test_a_member_that_kills_who_reads_it_is_told(sandbox: Sandbox) -> None:
    with celeriac.batch(then=g_then.bind(), dead=g_dead.bind(), key="a") as batch:
        batch.enqueue(g_part, number=0)
        batch.enqueue(g_part, number=77)
    with sandbox.crash_when(lambda body: '"number":77' in body):
        sandbox.drain()
    assert (ran["dead"], ran["then"], told) == (1, 0, [[1]])
    assert "1 of 1 dead letter" in _console("repair", batch.id, "--redrive")
    sandbox.drain()
    assert (ran["dead"], ran["then"]) == (1, 1)


def test_a_member_that_couldnt_be_settled_is_told(sandbox: Sandbox) -> None:
    with celeriac.batch(then=g_then.bind(), dead=g_dead.bind(), key="a") as batch:
        batch.enqueue(g_short, number=0)
    outage = sandbox.outage("dynamodb", table="idempotency")
    for _ in range(60):
        with suppress(Exception):
            sandbox.drain()
        if sandbox.dead_letters(short):
            break
    (letter,) = sandbox.dead_letters(short)
    assert letter.failure is not None
    assert letter.failure.reason == "unsettled"
    outage.end()
    sandbox.drain()
    assert ran["dead"] == 1
    assert "1 of 1 dead letter" in _console("repair", batch.id, "--redrive")
    sandbox.drain()
    assert (ran["dead"], ran["then"]) == (1, 1)


def test_a_callback_sees_what_was_written_just_before(sandbox: Sandbox) -> None:
    """A weak read may answer with the state of a second ago. Moto's never does."""
    strong: list[bool] = []

    def strike(call: Call) -> Any:
        if call.operation == "BatchGetItem":
            strong.extend(bool(each.get("ConsistentRead")) for each in call.arguments["RequestItems"].values())
        return call.make()

    rejected.add(1)
    with celeriac.batch(then=g_then.bind(), dead=g_dead.bind()) as batch:
        batch.enqueue_many(g_part, [{"number": 0}, {"number": 1}])
    with sandbox.fault(strike):
        sandbox.drain()
    assert told == [[1]]
    assert strong
    assert all(strong)


def test_a_callback_that_aws_refused_comes_when_aws_is_back(sandbox: Sandbox) -> None:
    with sandbox.worker():
        sandbox.outage("sqs", for_=timedelta(minutes=3), code="InternalServerError")
        with celeriac.batch(then=g_then.bind(), key="a"):
            pass  # its end is refused, and so is the sweeper's first try
    sandbox.drain()
    assert ran["then"] == 1


def test_members_of_an_aborted_run_write_on_the_root_once_a_leaf(sandbox: Sandbox) -> None:
    """A root may be 190 KB, and each of its writes is paid by the KB."""
    rejected.update(range(20))
    with suppress(ZeroDivisionError), celeriac.batch(then=g_then.bind(), key="a") as batch:
        batch.enqueue_many(g_part, ({"number": number} for number in range(20)))
        _ = 1 / 0
    with celeriac.batch(then=g_then.bind(), key="a") as batch:
        pass
    root_key = f"batch#{batch.id}"
    writes: list[str] = []

    def strike(call: Call) -> Any:
        if call.operation == "UpdateItem" and call.arguments["Key"].get("pk") == {"S": root_key}:
            writes.append(call.arguments["UpdateExpression"])
        return call.make()

    with sandbox.fault(strike):
        sandbox.drain()
    assert len(sandbox.dead_letters(parts)) == 20
    assert len(writes) <= 2


# Strangers, other releases, rights.


def _junk(shard: int, number: int) -> list[tuple[str, dict[str, Any]]]:
    """Items that somebody may write who may send to one queue, and to nobody else's."""
    due = {"due": {"S": f"batch-{shard}"}, "due_at": {"S": "2000"}}
    name = f"batch#edge-parts#{shard}-{number}"
    return [
        (f"{name}-bare", due),
        (f"{name}-unreadable", due | {"epoch": {"S": "e"}, "opened_at": {"N": "9" * 30}}),
        (f"{name}-expired", due | {"epoch": {"S": "e"}, "opened_at": {"N": "1"}, "expires_at": {"N": "1767222000"}}),
        (f"limit#edge-parts#{shard}-{number}", due),
    ]


def test_a_strangers_items_hide_no_batch_from_the_sweeper(sandbox: Sandbox) -> None:
    for shard in range(root.SHARDS):
        for number in range(40):
            for key, item in _junk(shard, number):
                client("dynamodb").put_item(TableName=rows.table(), Item={"pk": {"S": key}} | item)
    with suppress(WorkerDied), sandbox.worker(), celeriac.batch(then=g_then.bind(), key="a") as batch:
        batch.enqueue(g_part, number=0)
        sandbox.crash_at(2, after=True)  # sealed, and the nodes don't know
    sandbox.drain()
    for _ in range(3):
        sandbox.advance(timedelta(hours=1))
        sandbox.run_once()
    assert ran["then"] == 1
    assert batch.status().has_fired
    assert not [each for shard in root.shards(root.LATE) for each in root.listed(shard, 999)]


@pytest.mark.parametrize("member", [g_unique, g_debounced], ids=["unique", "debounced"])
def test_members_that_were_sent_before_their_task_was_unique_run_all_the_same(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, member: Any
) -> None:
    monkeypatch.setattr(compose_batch, "_check_member", lambda _: None)  # as the release before saw it
    with celeriac.batch(then=g_then.bind(), key="a") as batch:
        for number in range(4):
            batch.enqueue(member, number=number, who="me")
    sandbox.drain()
    assert [ran[number] for number in range(4)] == [1, 1, 1, 1]
    assert ran["then"] == 1


def test_a_step_that_a_newer_release_has_stored_waits_for_it(sandbox: Sandbox) -> None:
    celeriac.chain(g_part.bind(number=1), g_next.bind(number=RESULT)).enqueue()
    stored = [each for each in client("dynamodb").scan(TableName=rows.table())["Items"] if "message" in each]
    (step,) = stored
    newer = step | {"message": {"S": step["message"]["S"].replace('\\"v\\":4', '\\"v\\":5')}}
    client("dynamodb").put_item(TableName=rows.table(), Item=newer)
    assert newer != step
    sandbox.run_once()
    assert not sandbox.dead_letters(parts)
    client("dynamodb").put_item(TableName=rows.table(), Item=step)  # the newer release is back
    sandbox.drain()
    assert got == [1]


def test_a_step_is_sent_by_who_may_not_read_its_arguments(sandbox: Sandbox) -> None:
    """IAM lets only a queue's own consumer read what is stored for it. Moto lets everybody."""
    celeriac.chain(
        g_part.options(delay=timedelta(days=3)).bind(number=2),
        g_large.options(delay=timedelta(hours=1)).bind(text="y" * 200_000),
    ).enqueue()

    def strike(call: Call) -> Any:
        if call.operation == "GetObject":
            raise ClientError({"Error": {"Code": "AccessDenied"}}, call.operation)
        return call.make()

    sandbox.advance(timedelta(days=3, minutes=1))
    with sandbox.fault(strike):
        sandbox.run_once()
    assert ran[2] == 1
    (_,) = client("scheduler").list_schedules(NamePrefix="edge-ends.")["Schedules"]
    sandbox.drain()
    assert ran["large"] == 1
