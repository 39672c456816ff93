"""One order within an aggregate, that of the commits, whether the relay, the sweeper or an operator publishes."""

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Context, Queue, task
from celeriac.aws.client import client
from celeriac.enqueue import order
from celeriac.enqueue.outbox_row import SHARDS, shard
from celeriac.enqueue.transaction import Transaction
from celeriac.relay import sweeper
from celeriac.testing import Call, Sandbox
from celeriac.testing.disturbances import refusal
from celeriac.worker.event import Invocation
from celeriac_console.commands.outbox import replay
from celeriac_console.outbox import replay as replayed

ledger = Queue("committed", fifo=True, batch_size=10)
plain = Queue("committed-plain", batch_size=10)
told: list[int] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    told.clear()


@task(ledger, on="committed.event")
def book(ctx: Context, number: int) -> None:
    told.append(number)


@task(plain, on="plain.event")
def hear(number: int) -> None: ...


@task(ledger)
def direct(ctx: Context, number: int) -> None:
    told.append(number)


def _emit(tx: Transaction, number: int) -> None:
    tx.emit("committed.event", {"number": number}, aggregate="item")


def _publish(sandbox: Sandbox, by: str) -> None:
    if by != "relay":
        sandbox.advance(timedelta(hours=13))  # the stream has given up on them
    if by == "operator":
        _replay()
    sandbox.drain()


def _replay() -> None:
    with redirect_stdout(io.StringIO()):
        replay.replay("*", "7d")


BOTH = pytest.mark.parametrize("by", ["relay", "sweeper"])
EACH = pytest.mark.parametrize("by", ["relay", "sweeper", "operator"])


@EACH
def test_overlapping_transactions_are_published_as_they_committed(sandbox: Sandbox, by: str) -> None:
    with celeriac.transaction() as outer:
        _emit(outer, 2)
        _emit(outer, 3)
        sandbox.advance(timedelta(seconds=1))
        with celeriac.transaction() as inner:  # it begins later and commits earlier
            _emit(inner, 0)
            _emit(inner, 1)
    _publish(sandbox, by)
    assert told == [0, 1, 2, 3]


@EACH
def test_events_of_one_instant_are_published_as_they_committed(sandbox: Sandbox, by: str) -> None:
    for number in range(0, 30, 2):
        with celeriac.transaction() as tx:
            _emit(tx, number)
            _emit(tx, number + 1)
    _publish(sandbox, by)
    assert told == list(range(30))
    stamps = [row["occurred_at"]["S"] for row in _rows()]
    assert len(set(stamps)) == 30  # an index has no order for equal ones


@EACH
def test_a_clock_that_is_set_back_changes_no_order(sandbox: Sandbox, by: str) -> None:
    for number in range(5):
        with sandbox.producer(clock=number * timedelta(minutes=-10)), celeriac.transaction() as tx:
            _emit(tx, number)
    sandbox.advance(timedelta(hours=1))
    _publish(sandbox, by)
    assert told == list(range(5))


@BOTH
def test_a_sender_whose_clock_is_a_day_ahead_changes_no_order_and_its_events_are_swept(
    sandbox: Sandbox, by: str
) -> None:
    with sandbox.producer(clock=timedelta(days=1)), celeriac.transaction() as tx:
        _emit(tx, 0)
    for number in range(1, 4):
        with celeriac.transaction() as tx:
            _emit(tx, number)
    if by == "sweeper":
        sandbox._pollers.stream._pending.clear()
        sandbox._pollers.stream._read()
        sandbox._pollers.stream._pending.clear()
        for _ in range(10):  # in its turn each shard is looked at for such rows
            sandbox.advance(timedelta(minutes=1))
            sweeper.handler({}, Invocation("sweeper", "r", sandbox.now + timedelta(minutes=3)))
    sandbox.drain()
    assert told == [0, 1, 2, 3]


@EACH
def test_tasks_of_a_group_are_sent_as_they_committed(sandbox: Sandbox, by: str) -> None:
    with celeriac.transaction() as outer:
        outer.enqueue(direct.options(group="g"), number=1)
        with celeriac.transaction() as inner:
            inner.enqueue(direct.options(group="g"), number=0)
    _publish(sandbox, by)
    assert told == [0, 1]


def test_an_operator_keeps_the_order_of_the_commits_over_the_borders_of_pages(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replayed, "PAGE", 2)
    aggregates = ["item", "other", "third"]
    outer = [celeriac.transaction() for _ in range(4)]
    for depth, opening in enumerate(outer):  # those that begin first commit last
        tx = opening.__enter__()
        for aggregate in aggregates:
            tx.emit("committed.event", {"number": 3 - depth + 10 * aggregates.index(aggregate)}, aggregate=aggregate)
        sandbox.advance(timedelta(seconds=1))
    for opening in reversed(outer):
        opening.__exit__(None, None, None)
    sandbox.advance(timedelta(hours=13))
    _replay()
    sandbox.drain()
    ran = [[number for number in told if number // 10 == each] for each in range(3)]
    assert ran == [[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]]


def test_the_stream_may_deliver_the_rows_of_a_transaction_in_any_order(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        for number in range(5):
            _emit(tx, number)
    sandbox._pollers.stream._read()
    records = sandbox._pollers.stream._pending
    assert len(records) == 5
    records.reverse()
    for number, record in enumerate(records):
        record["dynamodb"] = record["dynamodb"] | {"SequenceNumber": f"{number}"}
    sandbox.drain()
    assert told == [0, 1, 2, 3, 4]


def test_the_order_costs_no_call_and_only_events_that_may_have_one_pay_for_it(sandbox: Sandbox) -> None:
    with _seen(sandbox) as actions, sandbox.worker():
        with celeriac.transaction() as tx:
            tx.emit("plain.event", {"number": 0}, aggregate="item")  # its subscribers keep no order
        with celeriac.transaction() as tx:
            tx.emit("committed.event", {"number": 0})  # it has no aggregate
        with celeriac.transaction() as tx:
            _emit(tx, 0)
            _emit(tx, 1)
    assert actions == [["outbox"], ["outbox"], ["outbox", "outbox", "idempotency"]]
    assert sandbox.calls == Counter({("dynamodb", "TransactWriteItems"): 3})


def test_a_transaction_that_another_one_outran_is_written_again_once(sandbox: Sandbox) -> None:
    with sandbox.producer(clock=timedelta(hours=1)), celeriac.transaction() as tx:
        _emit(tx, 0)
    sandbox.calls.clear()
    with celeriac.transaction() as tx:
        _emit(tx, 1)
        tx.put("orders", {"pk": "o-1"})
    assert sandbox.calls == Counter({("dynamodb", "TransactWriteItems"): 2})
    assert len(_rows()) == 2


def test_a_full_transaction_and_a_crowded_aggregate_commit_without_a_mark(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        for number in range(60):
            tx.emit("committed.event", {"number": number}, aggregate=f"item-{number}")
    assert len(_rows()) == 60

    def crowded(call: Call) -> Any:
        if call.operation == "TransactWriteItems" and order.PREFIX in str(call.arguments):
            free = [{"Code": "None"} for _ in call.arguments["TransactItems"][1:]]
            reasons = [*free, {"Code": "TransactionConflict"}]  # the mark is the last action
            raise refusal(call, "TransactionCanceledException", CancellationReasons=reasons)
        return call.make()

    with sandbox.fault(crowded), sandbox.worker(), celeriac.transaction() as tx:
        _emit(tx, 99)
    assert len(_rows()) == 61


def test_a_role_that_is_older_than_its_release_commits_without_a_mark(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "_refused", False)

    def refuse(call: Call) -> Any:
        if call.operation == "TransactWriteItems" and order.PREFIX in str(call.arguments):
            raise refusal(call, "AccessDeniedException")
        return call.make()

    with sandbox.fault(refuse), sandbox.worker():
        for number in range(2):
            with celeriac.transaction() as tx:
                _emit(tx, number)
    assert sandbox.calls["dynamodb", "TransactWriteItems"] == 2  # those that AWS took; it was asked in vain once only
    sandbox.drain()
    assert told == [0, 1]


@pytest.mark.parametrize("last", [{"S": "tomorrow"}, {"S": "9999-12-31T23:59:59.999999+00:00"}])
def test_a_mark_that_cannot_be_read_keeps_no_transaction_from_committing(sandbox: Sandbox, last: Any) -> None:
    mark = {"id": {"S": f"{order.PREFIX}item"}, "last": last}
    client("dynamodb").put_item(TableName="celeriac-test--idempotency", Item=mark)
    with celeriac.transaction() as tx:
        _emit(tx, 0)
    sandbox.drain()
    assert told == [0]


@contextmanager
def _seen(sandbox: Sandbox) -> Iterator[list[list[str]]]:
    """The tables that each transaction writes, action by action."""
    found: list[list[str]] = []

    def hook(call: Call) -> Any:
        actions = call.arguments["TransactItems"]
        found.append([next(iter(each.values()))["TableName"].removeprefix("celeriac-test--") for each in actions])
        return call.make()

    with sandbox.fault(hook):
        yield found


def _rows() -> list[dict[str, Any]]:
    return client("dynamodb").scan(TableName="celeriac-test--outbox")["Items"]


def test_an_event_of_a_clock_that_is_ahead_waits_for_an_earlier_one_that_the_sweep_is_too_early_for(
    sandbox: Sandbox,
) -> None:
    """The relay left all three. The first one is a minute old, the second one isn't."""
    # A sweep looks for rows of the future in one shard only: each minute in another one.
    while f"shard-{(sandbox.now + timedelta(minutes=1)).timestamp() // 60 % SHARDS:.0f}" != shard("item"):
        sandbox.advance(timedelta(minutes=1))
    with sandbox.outage("sqs"), celeriac.transaction() as tx:
        _emit(tx, 1)
    with sandbox.outage("sqs"):
        sandbox.run_once()
    sandbox.replace_workers()
    sandbox.advance(timedelta(seconds=50))
    for number, clock in ((2, timedelta()), (3, timedelta(minutes=10))):
        with sandbox.producer(clock=clock), celeriac.transaction() as tx:
            _emit(tx, number)
    sandbox.run_once()
    assert told == []
    sandbox.drain()
    assert told == [1, 2, 3]
