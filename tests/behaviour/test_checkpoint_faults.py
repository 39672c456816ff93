"""Checkpoints, and every fault at every call of AWS: each row counts once, no attempt is charged, and it ends."""

from datetime import timedelta
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, task
from celeriac.aws.client import client
from celeriac.testing import Sandbox, every_fault

STEP = timedelta(seconds=12)
ledgers = Queue("ledgers", timeout=timedelta(seconds=30))
ordered_ledgers = Queue("ordered-ledgers", timeout=timedelta(seconds=30), fifo=True)
_sandbox: list[Sandbox] = []
attempts: list[int] = []
rows: list[int] = []

# A worker that dies in the middle of a step has spent no attempt. One that can't reach AWS may have.
SOON = Backoff(base=timedelta(seconds=1), jitter=0, attempts=4)


def _post(ctx: Context, account: str) -> str | None:
    attempts.append(ctx.attempt)
    for first in range(ctx.cursor or 0, 3):
        _sandbox[0].advance(STEP)
        with ctx.transaction() as tx:
            tx.update("orders", key={"pk": f"{account}-{first}"}, add={"count": 1})
            tx.emit("posted", {"row": first})
            tx.checkpoint(first + 1)
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": f"{account}-end"}, add={"count": 1})
        tx.result("posted")
    return None


@task(ledgers, key="account", retry=SOON)
def post_rows(ctx: Context, account: str) -> str | None:
    return _post(ctx, account)


@task(ordered_ledgers, key="account", retry=SOON)
def post_rows_in_order(ctx: Context, account: str) -> str | None:
    return _post(ctx, account)


@task(ledgers, key="account", retry=SOON)
def post_rows_for(ctx: Context, account: str, by: str) -> str | None:
    return _post(ctx, account)


@task(ordered_ledgers, key="account", retry=SOON, expires=timedelta(seconds=20))
def post_rows_soon(ctx: Context, account: str) -> str | None:
    return _post(ctx, account)


@task(ledgers, key="account", retry=SOON)
def write_rows(ctx: Context, account: str) -> str:
    for row in ctx.iterate(range(ctx.cursor or 0, 3), cursor_of=lambda row: row + 1):
        _sandbox[0].advance(STEP)
        rows.append(row)
    return account


def _counts() -> list[int]:
    return [int(item["count"]["N"]) for item in client("dynamodb").scan(TableName="celeriac-test--orders")["Items"]]


@pytest.mark.parametrize("name", ["post_rows", "post_rows_in_order"])
def test_rows_and_cursor_commit_together(name: str) -> None:
    handles: list[Any] = []

    def scenario(sandbox: Sandbox) -> None:
        _sandbox[:] = [sandbox]
        if name == "post_rows":
            handles[:] = [post_rows.enqueue("a")]
        else:
            handles[:] = [post_rows_in_order.options(group="g").enqueue("a")]

    faults = every_fault(scenario)
    for sandbox in faults:
        assert _counts() == [1] * 4, faults.story
        assert handles[0].result() == "posted", faults.story
        assert not sandbox.dead_letters(ledgers) + sandbox.dead_letters(ordered_ledgers), faults.story


def test_a_cursor_is_never_ahead_of_the_work() -> None:
    handles: list[Any] = []

    def scenario(sandbox: Sandbox) -> None:
        _sandbox[:] = [sandbox]
        rows.clear()
        handles[:] = [write_rows.enqueue("a")]

    faults = every_fault(scenario)
    for sandbox in faults:
        assert sorted(set(rows)) == [0, 1, 2], faults.story
        assert rows.count(2) <= 2, faults.story
        assert handles[0].result() == "a", faults.story
        assert not sandbox.dead_letters(ledgers), faults.story


def test_another_message_of_the_key_does_no_row_again() -> None:
    handles: list[Any] = []

    def scenario(sandbox: Sandbox) -> None:
        _sandbox[:] = [sandbox]
        handles[:] = [post_rows_for.enqueue("a", by=by) for by in "ab"]

    faults = every_fault(scenario)
    for sandbox in faults:
        assert _counts() == [1] * 4, faults.story
        assert {handle.status().state for handle in handles} == {"succeeded"}, faults.story
        assert not sandbox.dead_letters(ledgers), faults.story


def test_what_has_begun_ends_and_does_not_expire() -> None:
    handles: list[Any] = []

    def scenario(sandbox: Sandbox) -> None:
        _sandbox[:] = [sandbox]
        handles[:] = [post_rows_soon.options(group="g").enqueue("a")]

    faults = every_fault(scenario)
    for sandbox in faults:
        state = handles[0].status().state
        assert (state, _counts()) in [("succeeded", [1] * 4), ("cancelled", [])], faults.story
        assert not sandbox.dead_letters(ordered_ledgers), faults.story
