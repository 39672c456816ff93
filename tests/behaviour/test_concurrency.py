"""Several tasks run at once in one invocation. FIFO groups keep their order."""

import asyncio
import threading
import time
from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, Reject, Retry, task
from celeriac.model.errors import TaskError
from celeriac.testing import Sandbox

wide = Queue("wide", concurrency=10, batch_size=10)
ledger = Queue("ledger", fifo=True, concurrency=5, batch_size=10)
entries: list[tuple[str, int]] = []
barrier = threading.Barrier(10)


@pytest.fixture(autouse=True)
def _empty() -> None:
    entries.clear()


@task(wide)
def meet() -> None:
    barrier.wait(timeout=10)  # all ten threads must arrive before any of them passes


@task(wide)
async def meet_later(number: int) -> None:
    gathered.append(number)
    while len(gathered) < 10:  # noqa: ASYNC110 - an event would belong to the event loop of the first test that waits
        await asyncio.sleep(0.001)


gathered: list[int] = []


@task(wide)
def wait_a_tenth() -> None:
    time.sleep(0.1)


@task(ledger, retry=Backoff(base=timedelta(minutes=1), jitter=0))
def book(ctx: Context, account: str, number: int, failures: int = 0) -> None:
    entries.append((account, number))
    if ctx.attempt <= failures:
        raise ConnectionError


def _book(account: str, number: int, failures: int = 0) -> None:
    book.options(group=account).enqueue(account=account, number=number, failures=failures)


def test_sync_tasks_run_concurrently(sandbox: Sandbox) -> None:
    meet.enqueue_many({} for _ in range(10))
    sandbox.drain()
    assert sandbox.dead_letters(wide) == []
    assert not barrier.broken


def test_async_tasks_run_concurrently(sandbox: Sandbox) -> None:
    gathered.clear()
    meet_later.enqueue_many({"number": i} for i in range(10))
    sandbox.drain()
    assert sorted(gathered) == list(range(10))


def test_a_fifo_group_keeps_its_order(sandbox: Sandbox) -> None:
    for number in range(7):
        for account in ("a", "b", "c"):
            _book(account, number)
    sandbox.drain()
    for account in ("a", "b", "c"):
        assert [number for name, number in entries if name == account] == list(range(7))


def test_a_failed_message_holds_back_only_its_group(sandbox: Sandbox) -> None:
    for number in range(3):
        _book("a", number, failures=2 if number == 0 else 0)
        _book("b", number)
    start = sandbox.now

    sandbox.run_once()
    assert [entry for entry in entries if entry[0] == "a"] == [("a", 0)]
    assert [entry for entry in entries if entry[0] == "b"] == [("b", 0), ("b", 1), ("b", 2)]

    sandbox.drain()
    assert [entry for entry in entries if entry[0] == "a"] == [("a", 0), ("a", 0), ("a", 0), ("a", 1), ("a", 2)]
    assert sandbox.now - start == pytest.approx(timedelta(minutes=1 + 2), abs=timedelta(seconds=5))


def test_a_group_continues_after_a_dead_letter(sandbox: Sandbox) -> None:
    @task(ledger, name="book_strictly")
    def strict(number: int) -> None:
        entries.append(("a", number))
        if number == 0:
            raise Reject("no such account")

    for number in range(3):
        strict.options(group="a").enqueue(number=number)
    sandbox.drain()
    assert entries == [("a", 0), ("a", 1), ("a", 2)]
    assert len(sandbox.dead_letters(ledger)) == 1


def test_attempts_on_a_fifo_queue_are_counted_exactly(sandbox: Sandbox) -> None:
    seen: list[int] = []

    @task(ledger, retry=Backoff(base=timedelta(minutes=1), attempts=3))
    def failing(ctx: Context) -> None:
        seen.append(ctx.attempt)
        raise ConnectionError

    failing.options(group="a").enqueue()
    sandbox.crash_at(1)  # a delivery that made no attempt
    sandbox.drain()
    assert seen == [1, 2, 3]
    (letter,) = sandbox.dead_letters(ledger)
    assert letter.failure is not None
    assert letter.failure.attempts == 3


def test_a_retry_on_a_fifo_queue_waits_for_its_delay(sandbox: Sandbox) -> None:
    @task(ledger)
    def busy(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise Retry(delay=timedelta(hours=2))

    start = sandbox.now
    busy.options(group="a").enqueue()
    sandbox.drain()
    assert timedelta(hours=2) <= sandbox.now - start <= timedelta(hours=2.2, seconds=2)


def test_a_delay_on_a_fifo_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="FIFO, which delays no single message"):
        book.options(delay=timedelta(minutes=1), group="a")


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        (Backoff(base=timedelta(hours=8), cap=timedelta(hours=8), jitter=0, attempts=20), "may take 6 days, 8:10:00"),
        (Backoff(attempts=1000), "its 1000 attempts on the FIFO queue 'ledger' cost a receive each"),
    ],
)
def test_a_policy_that_a_fifo_queue_cannot_keep_is_refused(policy: Backoff, problem: str) -> None:
    with pytest.raises(TaskError, match=f"task 'impossible': .*{problem}"):

        @task(ledger, retry=policy)
        def impossible() -> None: ...


def test_a_group_on_a_standard_queue_reaches_sqs_at_every_attempt(sandbox: Sandbox) -> None:
    groups: list[str | None] = []

    @task(wide)
    def serve(ctx: Context) -> None:
        groups.append(ctx.group)
        if ctx.attempt == 1:
            raise ConnectionError

    serve.options(group="tenant-7").enqueue()
    sandbox.drain()
    assert groups == ["tenant-7", "tenant-7"]
