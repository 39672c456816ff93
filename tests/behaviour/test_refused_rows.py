"""Rows for which AWS refuses a whole call: the others are published, and these are parked in time."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Context, Queue, task
from celeriac.aws.client import client
from celeriac.enqueue.outbox_row import PARKED
from celeriac.testing import Call, Sandbox
from celeriac.testing.disturbances import refusal
from tests.application import tables

HOUR = timedelta(hours=1)
standard = Queue("refused", patience=2 * HOUR)
ledger = Queue("refused-ledger", fifo=True, patience=2 * HOUR)
ran: list[int] = []
BAD = 999_999_999_999  # no id or time contains it


@task(standard, on="refused.plain")
def hear(number: int) -> None:
    ran.append(number)


@task(ledger, on="refused.ordered")
def book(number: int) -> None:
    ran.append(number)


@task(ledger)
def direct(ctx: Context, number: int) -> None:
    ran.append(number)


@task(standard)
def later(number: int) -> None:
    ran.append(number)


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    yield
    ran.clear()


def _emit(type_: str, number: int, aggregate: str) -> None:
    with celeriac.transaction() as tx:
        tx.emit(type_, {"number": number}, aggregate=aggregate)


def _refuse_calls_with_the_bad_one(call: Call) -> Any:
    """As SQS, EventBridge and Scheduler refuse a call of which one parameter is wrong."""
    if call.operation in {"SendMessageBatch", "PutEvents", "CreateSchedule"} and str(BAD) in str(call.arguments):
        raise refusal(call, "ValidationException" if call.operation == "CreateSchedule" else "MissingParameter")
    return call.make()


def _rows() -> list[dict[str, Any]]:
    return client("dynamodb").scan(TableName="celeriac-test--outbox")["Items"]


def _pass(sandbox: Sandbox, time: timedelta) -> None:
    until = sandbox.now + time
    while sandbox.now < until:
        sandbox.run_once()
        sandbox.advance(timedelta(seconds=30))


@pytest.mark.parametrize("type_", ["refused.plain", "refused.ordered"])
def test_a_row_for_which_a_queue_refuses_the_call_stops_no_other_row(sandbox: Sandbox, type_: str) -> None:
    with sandbox.fault(_refuse_calls_with_the_bad_one):
        for number in range(4):
            _emit(type_, number, f"item {number}")
        _emit(type_, BAD, "item")
        _emit(type_, 4, "item")  # behind the bad one
        for number in range(5, 9):
            _emit(type_, number, f"item {number}")
        _pass(sandbox, timedelta(minutes=5))
        assert sorted({*ran} - {4}) == [0, 1, 2, 3, 5, 6, 7, 8]
        sandbox.advance(24 * HOUR)  # the longest patience of all queues
        _pass(sandbox, timedelta(minutes=5))
    assert sorted(ran) == list(range(9))
    (bad,) = [row for row in _rows() if row.get("waiting", {}).get("S") == PARKED]
    assert "MissingParameter" in bad["reason"]["S"]


def test_a_row_that_cannot_be_scheduled_stops_no_other_schedule_and_is_parked(sandbox: Sandbox) -> None:
    with sandbox.fault(_refuse_calls_with_the_bad_one):
        for number in (0, BAD, 1):
            with celeriac.transaction() as tx:
                tx.enqueue(later.options(delay=4 * HOUR), number=number)
        _pass(sandbox, 5 * HOUR)
    assert sorted(ran) == [0, 1]
    (bad,) = [row for row in _rows() if row.get("waiting", {}).get("S") == PARKED]
    assert "ValidationException" in bad["reason"]["S"]


def test_an_event_for_which_the_bus_refuses_the_call_stops_no_other_event(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "outbox", celeriac.Outbox(bus=True), raising=False)
    client("events").create_event_bus(Name="celeriac-test")
    with sandbox.fault(_refuse_calls_with_the_bad_one):
        for number in (0, BAD, 1):
            _emit("refused.heard by nobody", number, f"item {number}")
        _pass(sandbox, timedelta(minutes=5))
    assert ["published_at" in row for row in sorted(_rows(), key=lambda row: row["pk"]["S"])] == [True, True, False]


def test_a_row_that_was_written_while_its_queue_was_a_standard_queue_is_sent_to_the_fifo_queue(
    sandbox: Sandbox,
) -> None:
    """Only the row of a standard queue has no group."""
    with celeriac.transaction() as tx:
        tx.enqueue(direct.options(group="g"), number=0)
    (row,) = _rows()
    client("dynamodb").put_item(
        TableName="celeriac-test--outbox",
        Item={name: value for name, value in row.items() if name != "group"} | {"sk": {"S": "as before"}},
    )
    with celeriac.transaction() as tx:
        tx.enqueue(direct.options(group="h"), number=1)
    sandbox.drain()
    assert sorted(set(ran)) == [0, 1]
    assert all("published_at" in row for row in _rows())
