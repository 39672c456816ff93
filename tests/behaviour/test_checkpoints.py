"""Long work: a task saves how far it is, and goes on from there in the next invocation, or after a death."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Backoff, Context, Queue, TransactionError, task
from celeriac.aws.client import client
from celeriac.leases.store import LeaseLostError
from celeriac.model import continuing
from celeriac.testing import Call, Sandbox, WorkerDied
from tests.support.faults import answer_lost, out_of_reach
from tests.support.redrive import redrive_as_aws_does

TIMEOUT = timedelta(seconds=30)
ROWS = 100
STEP = timedelta(seconds=1)

exports = Queue("exports", timeout=TIMEOUT)
ordered_exports = Queue("ordered-exports", timeout=TIMEOUT, fifo=True)
fails_at: dict[int, int] = {}
done: list[int] = []
parts: list[tuple[object, int, str, str]] = []
_sandbox: list[Sandbox] = []


@pytest.fixture(autouse=True)
def _empty(sandbox: Sandbox) -> None:
    done.clear()
    parts.clear()
    fails_at.clear()
    _sandbox[:] = [sandbox]


def _work(row: int) -> None:
    _sandbox[0].advance(STEP)
    if fails_at.get(row, 0) > 0:
        fails_at[row] -= 1
        raise ConnectionError("not now")
    done.append(row)


def _begin(ctx: Context) -> int:
    parts.append((ctx.cursor, ctx.attempt, ctx.id, ctx.key))
    return ctx.cursor if isinstance(ctx.cursor, int) else 0


FAST = Backoff(base=timedelta(seconds=1), jitter=0, attempts=3)


@task(exports, key="report", retry=FAST)
def export_rows(ctx: Context, report: str, rows: int = ROWS) -> str:
    for row in range(_begin(ctx), rows):
        _work(row)
        ctx.checkpoint(row + 1)
    return f"{report}: {rows}"


@task(ordered_exports, retry=FAST)
def export_in_order(ctx: Context, name: str) -> None:
    for row in range(_begin(ctx), 50):
        _work(row)
        ctx.checkpoint(row + 1)
    done.append(-1 if name == "first" else -2)


@task(exports, retry=FAST)
async def export_async(ctx: Context) -> None:
    async for row in ctx.aiterate(range(_begin(ctx), 50), cursor_of=lambda row: row + 1):
        _work(row)


@task(exports, retry=FAST)
def export_iterated(ctx: Context) -> None:
    for row in ctx.iterate(range(_begin(ctx), 50), cursor_of=lambda row: row + 1, every=timedelta()):
        _work(row)


@task(exports, retry=FAST)
def crawl(ctx: Context) -> None:
    """Each step takes longer than half an invocation."""
    _begin(ctx)
    _sandbox[0].advance(timedelta(seconds=20))
    ctx.checkpoint({"page": 7})


@task(exports, key="report", retry=FAST)
def count_rows(ctx: Context, report: str) -> str | None:
    for first in range(_begin(ctx), 500, 10):
        _sandbox[0].advance(STEP)
        with ctx.transaction() as tx:
            for row in range(first, first + 10):
                tx.update("orders", key={"pk": f"{report}-{row}"}, add={"count": 1})
            tx.checkpoint(first + 10)
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"{report}-end"}, add={"count": 1})
        tx.result("counted")
    return None


def _counts() -> Counter[int]:
    pages = client("dynamodb").get_paginator("scan").paginate(TableName="celeriac-test--orders")
    return Counter(int(item["count"]["N"]) for page in pages for item in page["Items"])


def test_a_task_goes_on_in_the_next_invocation(sandbox: Sandbox) -> None:
    handle = export_rows.enqueue("a")
    sandbox.drain()
    assert done == list(range(ROWS))
    assert len(parts) > 3
    assert [attempt for _, attempt, *_ in parts] == [1] * len(parts)
    assert len({(its_id, key) for _, _, its_id, key in parts}) == 1
    assert handle.result() == "a: 100"
    assert sandbox.dead_letters(exports) == []


def test_between_two_parts_it_is_running(sandbox: Sandbox) -> None:
    handle = export_rows.enqueue("a")
    seen: list[tuple[str, object]] = []

    def look(call: Call) -> Any:
        if call.operation == "UpdateItem" and len(done) > 0:
            status = handle.status()
            seen.append((status.state, status.failure))
        return call.make()

    with sandbox.fault(look):
        sandbox.drain()
    assert len(seen) > len(parts)
    assert set(seen) == {("running", None)}


def test_a_short_task_costs_no_more_for_its_checkpoints(sandbox: Sandbox) -> None:
    export_rows.enqueue("a", rows=0)
    sandbox.drain()
    without = sandbox.calls["dynamodb", "UpdateItem"]
    export_rows.enqueue("b", rows=1)
    sandbox.drain()
    assert sandbox.calls["dynamodb", "UpdateItem"] - without == 2  # the row took a second: its cursor, the success


def test_a_cursor_is_written_once_a_second_at_most(sandbox: Sandbox) -> None:
    @task(exports)
    def hurry(ctx: Context) -> None:
        for row in range(1, 101):
            sandbox.advance(timedelta(milliseconds=50))
            ctx.checkpoint(row)

    hurry.enqueue()
    sandbox.drain()
    assert sandbox.calls["dynamodb", "UpdateItem"] == 5 + 1


@pytest.mark.parametrize("row", [0, 3, 40])
def test_attempts_count_since_the_cursor_last_moved(sandbox: Sandbox, row: int) -> None:
    fails_at[row] = 2
    fails_at[row + 30] = 2
    fails_at[row + 31] = 2
    export_rows.enqueue("a")
    sandbox.drain()
    assert done == list(range(ROWS))
    assert sandbox.dead_letters(exports) == []


def test_a_run_that_never_moves_its_cursor_dies_of_its_attempts(sandbox: Sandbox) -> None:
    fails_at[40] = 99
    export_rows.enqueue("a")
    sandbox.drain()
    assert done == list(range(40))
    (letter,) = sandbox.dead_letters(exports)
    assert letter.failure is not None
    assert letter.failure.reason == "exhausted"
    assert 99 - fails_at[40] == 3


def test_a_redrive_goes_on_from_the_cursor(sandbox: Sandbox) -> None:
    fails_at[40] = 3
    handle = export_rows.enqueue("a")
    sandbox.drain()
    assert handle.status().state == "dead"
    redrive_as_aws_does(exports)
    sandbox.drain()
    assert done == list(range(ROWS))
    assert handle.status().state == "succeeded"


def test_another_message_of_the_key_with_other_arguments_starts_anew(sandbox: Sandbox) -> None:
    fails_at[40] = 3
    export_rows.enqueue("a")
    sandbox.drain()
    done.clear()
    export_rows.enqueue("a", rows=60)
    sandbox.drain()
    assert done == list(range(60))


def test_a_success_removes_the_cursor(sandbox: Sandbox) -> None:
    export_rows.enqueue("a")
    sandbox.drain()
    pages = client("dynamodb").scan(TableName="celeriac-test--idempotency")["Items"]
    assert not [item for item in pages if item.keys() & {"cursor", "cursor_of", "moved", "checkpoints"}]


def test_on_a_fifo_queue_it_stays_in_its_place(sandbox: Sandbox) -> None:
    fails_at[20] = 2
    for name in ("first", "second"):
        export_in_order.options(group="g").enqueue(name)
    sandbox.drain()
    assert done == [*range(50), -1, *range(50), -2]


def test_a_checkpoint_within_a_task_group(sandbox: Sandbox) -> None:
    @task(exports, retry=FAST)
    async def export_in_group(ctx: Context) -> None:
        async def rows() -> None:
            async for row in ctx.aiterate(range(_begin(ctx), 50), cursor_of=lambda row: row + 1):
                _work(row)

        async with asyncio.TaskGroup() as group:
            group.create_task(rows())

    export_in_group.enqueue()
    sandbox.drain()
    assert done == list(range(50))
    assert {attempt for _, attempt, *_ in parts} == {1}


def test_lost_answers_of_checkpoints_end_no_run(sandbox: Sandbox) -> None:
    export_rows.enqueue("a", rows=20)
    with answer_lost("dynamodb", "UpdateItem", times=15):
        sandbox.drain()
    assert done == list(range(20))
    assert len(parts) == 1


@pytest.mark.parametrize("name", ["export_async", "export_iterated"])
def test_its_twins(sandbox: Sandbox, name: str) -> None:
    if name == "export_async":
        export_async.enqueue()
    else:
        export_iterated.enqueue()
    sandbox.drain()
    assert done == list(range(50))
    assert len(parts) > 1


def test_a_step_longer_than_half_an_invocation_moves_on_once_for_each(sandbox: Sandbox) -> None:
    crawl.enqueue()
    sandbox.drain()
    assert [cursor for cursor, *_ in parts] == [None, {"page": 7}, {"page": 7}, {"page": 7}]
    (letter,) = sandbox.dead_letters(exports)
    assert letter.failure is not None
    assert letter.failure.type == "celeriac.NoProgressError"


def test_the_bound_on_parts(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeriac.consume.decide.MOST_PARTS", 3)
    export_rows.enqueue("a")
    sandbox.drain()
    assert len(parts) == 3
    (letter,) = sandbox.dead_letters(exports)
    assert letter.failure is not None
    assert letter.failure.type == "celeriac.TooManyPartsError"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", range(1, 14))
def test_death_at_each_call(sandbox: Sandbox, call: int, *, after: bool) -> None:
    handle = export_rows.enqueue("a", rows=40)
    sandbox.crash_at(call, after=after)
    sandbox.drain()
    assert sorted(set(done)) == list(range(40))
    assert len(done) <= 40 + 1  # a row of which no cursor was written
    assert handle.result() == "a: 40"
    assert sandbox.dead_letters(exports) == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [3, 20, 33, 60])
def test_counters_are_one_after_any_death(sandbox: Sandbox, call: int, *, after: bool) -> None:
    handle = count_rows.enqueue("a")
    sandbox.crash_at(call, after=after)
    sandbox.drain()
    assert _counts() == {1: 501}
    assert handle.result() == "counted"
    assert sandbox.dead_letters(exports) == []


@pytest.mark.parametrize("times", [1, 3])
def test_lost_answers_of_commits_count_nothing_twice(sandbox: Sandbox, times: int) -> None:
    count_rows.enqueue("a")
    with answer_lost("dynamodb", "TransactWriteItems", times=times):
        sandbox.drain()
    assert _counts() == {1: 501}


def test_a_zombie_commits_nothing(sandbox: Sandbox) -> None:
    """A worker is frozen within a transaction, until another one has taken over and ended the work."""
    frozen: list[Any] = []

    @task(exports, key="report", retry=FAST)
    def count_slowly(ctx: Context, report: str) -> None:
        is_first = not frozen
        for first in range(ctx.cursor or 0, 30, 10):
            with ctx.transaction() as tx:
                tx.update("orders", key={"pk": f"{report}-{first}"}, add={"count": 1})
                tx.checkpoint(first + 10)
                if is_first and first == 10:
                    frozen.append(tx)
                    raise WorkerDied

    count_slowly.enqueue("a")
    sandbox.drain()
    assert _counts() == {1: 3}
    (zombie,) = frozen
    zombie._is_over = False
    zombie._lease.in_transaction = False
    with pytest.raises(LeaseLostError), zombie:
        pass
    assert _counts() == {1: 3}


def test_while_dynamodb_is_away_work_goes_on_and_is_charged_to_nobody(sandbox: Sandbox) -> None:
    export_rows.enqueue("a", rows=40)
    with out_of_reach("dynamodb", "UpdateItem", calls=range(1, 12)) as made:
        sandbox.drain()
    assert made
    assert sorted(set(done)) == list(range(40))
    assert {attempt for _, attempt, *_ in parts} == {1}
    assert sandbox.dead_letters(exports) == []


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
def test_other_guarantees_can_save_nothing(sandbox: Sandbox, delivery: Any) -> None:
    seen: list[BaseException] = []

    @task(exports, delivery=delivery)
    def save(ctx: Context) -> None:
        for tries in (ctx, ctx.transaction()):
            try:
                tries.checkpoint(1)
            except TypeError as error:
                seen.append(error)

    save.enqueue()
    sandbox.drain()
    save()
    assert len(seen) == 4
    assert all("effectively_once" in str(error) for error in seen)


def test_a_call_in_a_test_checks_the_cursor_and_saves_nothing() -> None:
    @task(exports)
    def save(ctx: Context, cursor: Any) -> object:
        ctx.checkpoint(cursor)
        return ctx.cursor

    assert save(7) is None
    with pytest.raises(TypeError, match="hasn't begun"):
        save(None)
    with pytest.raises(ValueError, match="must be JSON"):
        save(object())
    with pytest.raises(ValueError, match="8,19"):
        save("x" * continuing.MOST_CURSOR)


def test_checkpoints_of_transactions_are_refused_where_they_mean_nothing(sandbox: Sandbox) -> None:
    with pytest.raises(TransactionError, match="outside a task"), celeriac.transaction() as tx:
        tx.checkpoint(1)

    seen: list[BaseException] = []

    @task(exports)
    def both(ctx: Context) -> None:
        try:
            with ctx.transaction() as tx:
                tx.result(1)
                tx.checkpoint(1)
        except TransactionError as error:
            seen.append(error)

    both.enqueue()
    sandbox.drain()
    assert "last transaction" in str(seen[0])
