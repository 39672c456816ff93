"""One async task that blocks the event loop harms no other task, and its worker ends in order."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, task
from celeriac.execute import loop
from celeriac.testing import Sandbox

jobs = Queue("blocked", timeout=timedelta(seconds=30), concurrency=10, batch_size=10)
brief = Queue("blocked-brief", timeout=timedelta(seconds=5), concurrency=2, batch_size=10)
MATES = 9
released = threading.Event()
begun: list[int] = []
attempts: list[int] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    released.clear()
    begun.clear()
    attempts.clear()
    loop.forget()
    yield
    released.set()
    loop.forget()


async def _after_the_mates() -> None:
    while len(begun) < MATES:  # noqa: ASYNC110 - an event would belong to the first worker's loop
        await asyncio.sleep(0.001)


@task(jobs, timeout=timedelta(seconds=0.5))
async def wait_a_little(ctx: Context, number: int) -> None:
    attempts.append(ctx.attempt)
    begun.append(number)
    await asyncio.sleep(0.2)


@task(jobs, timeout=timedelta(seconds=0.3), retry=Backoff(attempts=1))
async def block_for_good() -> None:
    await _after_the_mates()
    released.wait(10)  # as time.sleep would, or a sync call of AWS


def _lines(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.getMessage() == message]


LOST = "an async task blocks the event loop, and has overrun: the loop is lost"
ENDS = "the worker ends, another one is to start"


def test_time_in_which_a_task_blocks_the_loop_is_not_charged_to_the_others(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    @task(jobs, timeout=timedelta(seconds=5))
    async def block_a_while() -> None:
        await _after_the_mates()
        time.sleep(1)  # noqa: ASYNC251 - the fault

    block_a_while.enqueue()
    wait_a_little.enqueue_many({"number": i} for i in range(MATES))
    sandbox.run_once()

    assert attempts == [1] * MATES
    assert _lines(caplog, "task failed") == _lines(caplog, ENDS) == []
    sandbox.drain()
    assert len(begun) == MATES


def test_the_blocking_task_is_charged_and_its_mates_run_uncharged_in_another_worker(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    blocking = block_for_good.enqueue()
    handles = wait_a_little.enqueue_many({"number": i} for i in range(MATES))
    sandbox.run_once()
    (lost,) = _lines(caplog, LOST)
    assert (lost["blocking_task"], lost["blocking_id"]) == ("block_for_good", blocking.id)
    (ends,) = _lines(caplog, ENDS)
    assert ends["why"] == "its event loop is blocked"
    failed = _lines(caplog, "task failed")
    assert [(line["error"], line["charged"]) for line in failed] == [("celeriac.LoopBlockedError", False)] * MATES

    sandbox.drain()
    assert {handle.status().state for handle in handles} == {"succeeded"}
    assert attempts == [1] * MATES * 2
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert (letter.id, letter.failure.type) == (blocking.id, "celeriac.TaskTimeoutError")
    assert len(_lines(caplog, ENDS)) == 1


def test_what_was_done_before_the_worker_ends_is_acknowledged(sandbox: Sandbox) -> None:
    done: list[str] = []

    @task(jobs, delivery="at_least_once")
    def work() -> None:
        done.append("work")
        begun.extend([0] * MATES)

    work.enqueue()
    block_for_good.enqueue()
    sandbox.run_once()
    assert sandbox.calls["sqs", "DeleteMessageBatch"] == 1
    sandbox.drain()
    assert done == ["work"]


def test_tasks_that_were_not_started_go_back_unrun_and_uncharged(sandbox: Sandbox) -> None:
    narrow = Queue("blocked-narrow", concurrency=1, batch_size=10)
    runs: list[int] = []

    # Long enough for the loop to be known as lost when the next message is due.
    @task(narrow, timeout=timedelta(seconds=1.5), retry=Backoff(attempts=1))
    async def block() -> None:
        released.wait(10)

    @task(narrow, delivery="at_most_once")
    def work(ctx: Context) -> None:
        runs.append(ctx.attempt)

    begun.extend([0] * MATES)
    block.enqueue()
    handles = [work.enqueue() for _ in range(4)]
    start = sandbox.now
    sandbox.run_once()
    assert runs == []
    sandbox.drain()
    assert runs == [1] * 4
    assert sandbox.now - start < timedelta(minutes=1)
    assert {handle.status().state for handle in handles} == {"succeeded"}


def test_an_at_most_once_task_that_had_begun_on_a_lost_loop_is_left_to_a_person(sandbox: Sandbox) -> None:
    @task(jobs, delivery="at_most_once")
    async def once() -> None:
        begun.extend([0] * MATES)
        await asyncio.sleep(0.001)
        await asyncio.sleep(60)

    once.enqueue()
    block_for_good.enqueue()
    sandbox.drain()
    letters = {letter.task: letter.failure.reason for letter in sandbox.dead_letters(jobs) if letter.failure}
    assert letters == {"once": "interrupted", "block_for_good": "exhausted"}


def test_a_task_that_blocks_the_whole_invocation_leaves_time_to_settle_its_mates_uncharged(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    @task(brief)
    async def mate(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        begun.extend([0] * MATES)
        await asyncio.sleep(0.01)

    @task(brief, retry=Backoff(attempts=1))
    async def block() -> None:
        await _after_the_mates()
        released.wait(10)

    block.enqueue()
    mate.enqueue()
    sandbox.run_once()
    assert len(_lines(caplog, ENDS)) == 1
    sandbox.drain()
    assert attempts == [1, 1]
    assert [letter.task for letter in sandbox.dead_letters(brief)] == ["block"]


def test_a_task_whose_own_child_blocks_the_loop_is_charged(sandbox: Sandbox) -> None:
    async def child() -> None:
        await _after_the_mates()
        released.wait(10)

    @task(jobs, timeout=timedelta(seconds=0.3), retry=Backoff(attempts=1))
    async def parent() -> None:
        await asyncio.gather(child(), asyncio.sleep(60))

    parent.enqueue()
    wait_a_little.enqueue_many({"number": i} for i in range(MATES))
    sandbox.drain()
    assert [letter.task for letter in sandbox.dead_letters(jobs)] == ["parent"]
    assert attempts == [1] * MATES * 2


def test_an_overrun_that_blocks_nothing_ends_no_worker(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    @task(jobs, timeout=timedelta(seconds=0.05), retry=Backoff(attempts=1))
    async def slow() -> None:
        await asyncio.sleep(60)

    slow.enqueue()
    sandbox.drain()
    assert len(sandbox.dead_letters(jobs)) == 1
    assert _lines(caplog, ENDS) == []


def test_all_async_tasks_of_a_worker_run_on_one_loop(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    loops: list[int] = []

    @task(jobs)
    async def which() -> None:
        loops.append(id(asyncio.get_running_loop()))

    which.enqueue()
    sandbox.drain()
    begun.extend([0] * MATES)
    block_for_good.enqueue()
    sandbox.run_once()
    assert len(_lines(caplog, ENDS)) == 1
    released.set()
    which.enqueue_many({} for _ in range(5))
    sandbox.drain()
    assert len(set(loops[1:])) == 1
