"""Relay, sweeper and transactional tasks die before and after each AWS call: no event is lost, no effect is doubled."""

import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

import celeriac
from celeriac import Context, Outbox, Queue, names, task, waiting
from celeriac.aws import client
from celeriac.testing import Sandbox
from tasks import tables

counters = Queue("crash-counters", concurrency=3)
ledger = Queue("crash-ledger", fifo=True)
EVENTS, AGGREGATES = 4, 2
ran: list[tuple[str, int]] = []


@task(counters, on="crash.event")
def count(ctx: Context, number: int) -> None:
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"counted-{number}"}, add={"times": 1})


@task(ledger, on="crash.event")
def book(ctx: Context, number: int) -> None:
    ran.append((ctx.group or "", number))
    with ctx.transaction() as tx:
        tx.update("payments", key={"pk": f"booked-{number}"}, add={"times": 1})


@task(counters)
def order(ctx: Context, number: int) -> None:
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": f"order-{number}"}, condition="attribute_not_exists(pk)")
        tx.emit("crash.event", {"number": number}, aggregate=f"item-{number % AGGREGATES}")


@pytest.fixture(autouse=True)
def _bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    yield
    ran.clear()


def _emit(sandbox: Sandbox) -> None:
    for number in range(EVENTS):
        with celeriac.transaction() as tx:
            tx.emit("crash.event", {"number": number}, aggregate=f"item-{number % AGGREGATES}")


def _emit_and_strand(sandbox: Sandbox) -> None:
    _emit(sandbox)
    sandbox.advance(timedelta(hours=2))  # the stream has given up on them


def _enqueue(sandbox: Sandbox) -> None:
    order.enqueue_many({"number": number} for number in range(EVENTS))


PATHS = {"relay": _emit, "sweeper": _emit_and_strand, "transactional task": _enqueue}


def _calls_of_workers(name: str) -> int:
    with Sandbox() as sandbox:
        PATHS[name](sandbox)
        before = sum(sandbox.calls.values())
        sandbox.drain()
        return sum(sandbox.calls.values()) - before


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", PATHS)
def test_wherever_a_worker_dies_each_event_takes_effect_once_and_in_order(
    name: str, capsys: pytest.CaptureFixture[str], *, after: bool
) -> None:
    points = _calls_of_workers(name)
    for point in range(1, points + 1):
        with Sandbox() as sandbox:
            ran.clear()
            PATHS[name](sandbox)
            sandbox.crash_at(point, after=after)
            sandbox.drain()
            where = f"{name}, {'after' if after else 'before'} call {point}"
            assert _times("orders", "counted") == dict.fromkeys(range(EVENTS), 1), where
            assert _times("payments", "booked") == dict.fromkeys(range(EVENTS), 1), where
            # Tasks side by side commit in any order.
            for aggregate in range(AGGREGATES if name != "transactional task" else 0):
                booked = [number for group, number in ran if group == f"item-{aggregate}"]
                assert list(dict.fromkeys(booked)) == list(range(aggregate, EVENTS, AGGREGATES)), where
            assert sandbox.dead_letters(counters) == sandbox.dead_letters(ledger) == [], where
            assert waiting.lag() == (None, 0), where
            rows = client("dynamodb").scan(TableName=names.outbox_table("test"))["Items"]
            assert len(rows) == EVENTS, where
            assert all("published_at" in row and "waiting" not in row for row in rows), where
    assert points >= 20
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: died {'after' if after else 'before'} each of {points} calls\n")


def _times(table: str, prefix: str) -> dict[int, int]:
    items = client("dynamodb").scan(TableName=f"celeriac-test-{table}")["Items"]
    return {
        int(item["pk"]["S"].rpartition("-")[2]): int(item["times"]["N"])
        for item in items
        if item["pk"]["S"].startswith(prefix)
    }
