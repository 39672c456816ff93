"""Long work, cancelled or told to end, and the other messages of its key; loops within loops; heartbeats in outages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, task
from celeriac.consume.visiting import MOST_DEATHS_ALONE
from celeriac.testing import Call, Sandbox, WorkerDied
from celeriac.testing.worker import tell_to_end

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
yard = Queue("yard", timeout=30 * SECOND)
rail = Queue("rail", timeout=30 * SECOND, fifo=True)
long_rail = Queue("long-rail", runner="fargate", timeout=timedelta(hours=10), fifo=True, max_receives=20)
studio = Queue("studio", timeout=15 * MINUTE)
begun: list[Any] = []
handles: list[Any] = []
_at_row_ten: list[Callable[[], Any]] = []
_sandbox: list[Sandbox] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    for each in (begun, handles, _at_row_ten):
        each.clear()


@contextmanager
def opened(runner: Any = "lambda") -> Iterator[Sandbox]:
    with Sandbox(runner=runner) as sandbox:
        _sandbox[:] = [sandbox]
        yield sandbox


@task(yard, key="file")
def imports(ctx: Context, file: str, rows: str) -> None:
    begun.append(rows)
    for row in range(ctx.cursor or 0, 100):
        _sandbox[0].advance(SECOND)
        ctx.checkpoint(row + 1)
        if row == 10 and rows == "wrong" and _at_row_ten:
            _at_row_ten.pop()()


@task(rail, key="file", retry=Backoff(base=30 * MINUTE, jitter=0, attempts=5))
def imports_in_order(ctx: Context, file: str, rows: str) -> None:
    begun.append(rows)
    if rows == "wrong":
        ctx.checkpoint(1, every=timedelta())
        raise ConnectionError


@task(long_rail, key="file")
def takes_hours(ctx: Context, file: str, rows: str) -> None:
    begun.append(rows)
    if rows == "wrong":
        for _ in range(360):
            _sandbox[0].advance(30 * SECOND)
            _sandbox[0].run_once()  # another worker polls


def cancel_and_die() -> None:
    handles[0].cancel("the wrong rows")
    raise WorkerDied


def until(sandbox: Sandbox, is_so: Callable[[], bool], longest: timedelta) -> timedelta:
    """Let time pass until it is so. Returns how long that took."""
    began = datetime.now(UTC)
    while not is_so() and datetime.now(UTC) - began < longest:
        sandbox.advance(30 * SECOND)
        sandbox.run_once()
    return datetime.now(UTC) - began


@pytest.mark.parametrize("runner", ["lambda", "worker"])
@pytest.mark.parametrize("dies", [False, True])
def test_the_right_import_runs_soon_after_the_wrong_one_is_cancelled(runner: Any, *, dies: bool) -> None:
    with opened(runner) as sandbox:
        handles.append(imports.enqueue(file="x", rows="wrong"))
        if dies:
            _at_row_ten.append(cancel_and_die)
            sandbox.run_once()
        else:
            with sandbox.fault(_cancel_between_two_parts):
                sandbox.run_once()
        right = imports.enqueue(file="x", rows="right")
        took = until(sandbox, lambda: right.status().state == "succeeded", timedelta(hours=2))
        assert right.status().state == "succeeded"
        assert took <= 15 * MINUTE
        assert handles[0].status().state == "cancelled"


def _cancel_between_two_parts(call: Call) -> Any:
    answer = call.make()
    if call.operation == "UpdateItem" and "RETRYING" in str(call.arguments.get("ExpressionAttributeValues")):
        handles[0].cancel("the wrong rows")
    return answer


def test_in_a_fifo_group_too_and_the_messages_behind_it_wait_no_longer() -> None:
    with opened() as sandbox:
        its = imports_in_order.options(group="g")
        wrong, right = its.enqueue(file="x", rows="wrong"), its.enqueue(file="x", rows="right")
        behind = its.enqueue(file="y", rows="behind")
        sandbox.run_once()
        wrong.cancel("the wrong rows")
        until(sandbox, lambda: behind.status().state == "succeeded", timedelta(hours=3))
        assert begun == ["wrong", "right", "behind"]
        assert right.status().state == "succeeded"


def test_a_fifo_message_that_waits_for_another_of_its_key_for_too_long_is_a_letter_with_a_reason() -> None:
    with opened() as sandbox:
        # In two groups SQS doesn't keep them apart.
        long = takes_hours.options(group="a").enqueue(file="x", rows="wrong")
        right = takes_hours.options(group="b").enqueue(file="x", rows="right")
        sandbox.run_once()
        (letter,) = sandbox.dead_letters(long_rail)
        assert letter.failure is not None
        assert (letter.id, letter.failure.reason) == (right.id, "expired")
        assert f"it waits for the message {long.id} of its key" in letter.failure.message
        assert begun == ["wrong"]
        assert long.status().state == "succeeded"


@task(studio, key="film", retry=Backoff(base=SECOND, jitter=0, attempts=3))
def chapters(ctx: Context, film: str) -> None:
    begun.append((ctx.attempt, ctx.cursor))
    for chapter in range(ctx.cursor or 0, 4):
        for page in range(5):
            _sandbox[0].advance(2 * SECOND)
            if page == 2 and chapter == 2 and len(begun) < 6:
                tell_to_end()
            ctx.checkpoint(chapter)  # this chapter again


def test_a_worker_that_is_told_to_end_charges_no_attempt_whatever_the_cursor_says() -> None:
    with opened("worker") as sandbox:
        handle = chapters.enqueue(film="x")
        sandbox.drain()
        assert handle.status().state == "succeeded"
        assert {attempt for attempt, _ in begun} == {1}
        assert len(begun) == 6


@task(yard)
def nested(ctx: Context) -> None:
    for order in ctx.iterate(range(ctx.cursor or 0, 5), cursor_of=lambda order: order + 1):
        for _ in ctx.iterate([10, 20], cursor_of=lambda _, order=order: order):  # type: ignore[misc]
            pass
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": f"{order}"})
        begun.append(order)


@task(yard)
def dropped_loop(ctx: Context) -> None:
    for order in ctx.iterate(range(ctx.cursor or 0, 5), cursor_of=lambda order: order + 1):
        next(iter(ctx.iterate([10, 20], cursor_of=lambda _, order=order: order)))  # type: ignore[misc]
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": f"{order}"})
        begun.append(order)


@pytest.mark.parametrize("its", [nested, dropped_loop], ids=lambda its: its.name)
def test_a_loop_within_a_loop_doesnt_end_the_task_with_items_left(its: Any) -> None:
    with opened() as sandbox:
        its.enqueue()
        sandbox.drain()
        (letter,) = sandbox.dead_letters(yard)
    assert letter.failure is not None
    assert "ctx.iterate(...) has more items" in letter.failure.message
    assert begun == []


@task(studio, key="film", delivery="at_most_once")
def launch(ctx: Context, film: str) -> str:
    return _in_an_outage()


@task(studio, key="film")
def render_once(ctx: Context, film: str) -> str:
    return _in_an_outage()


def _in_an_outage() -> str:
    begun.append("begins")
    if len(begun) > 1:
        return "again"
    sandbox = _sandbox[0]
    sandbox.advance(29 * SECOND)  # just before a heartbeat
    with sandbox.outage("dynamodb"), sandbox.outage("sqs"):
        sandbox.advance(4 * MINUTE + 20 * SECOND)
    sandbox.advance(10 * SECOND)
    sandbox.run_once()  # another worker polls
    sandbox.advance(2 * MINUTE)
    return "once"


@pytest.mark.parametrize("its", [launch, render_once], ids=lambda its: its.name)
def test_an_outage_of_more_than_four_minutes_between_heartbeats_costs_nothing(its: Any) -> None:
    with opened("worker") as sandbox:
        handle = its.enqueue(film="x")
        sandbox.drain()
        assert begun == ["begins"]
        assert handle.status().result == "once"
        assert sandbox.dead_letters(studio) == []


@task(yard, key="name")
def poison(name: str) -> None:
    begun.append(name)
    raise WorkerDied


@pytest.mark.parametrize("told", [0, 1, 5])
def test_deaths_are_remembered_though_a_worker_that_takes_over_is_told_to_end(told: int) -> None:
    ended: list[str] = []

    def end(call: Call) -> Any:
        answer = call.make()
        claims = call.operation == "UpdateItem" and ":new_status" in str(call.arguments)
        if claims and len(begun) == MOST_DEATHS_ALONE - 1 and len(ended) < told:
            ended.append("told")
            tell_to_end()
        return answer

    with opened("worker") as sandbox:
        poison.enqueue(name="x")
        with sandbox.fault(end):
            sandbox.drain()
        (letter,) = sandbox.dead_letters(yard)
        assert letter.failure is not None
        assert letter.failure.reason == "worker lost"
        assert len(begun) == MOST_DEATHS_ALONE
        assert len(ended) == told
