"""Time limits: the task's own limit, and the function's limit, which nothing outlives."""

import asyncio
import threading
from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, task
from celeriac.execute import ending, threads
from celeriac.testing import Sandbox

jobs = Queue("jobs", timeout=timedelta(seconds=30), batch_size=10)
SHORT = timedelta(milliseconds=50)
released = threading.Event()
runs: list[int] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()
    released.clear()


def test_a_sync_task_that_overruns_fails_and_is_tried_again(sandbox: Sandbox) -> None:
    @task(jobs, timeout=SHORT, retry=Backoff(attempts=2))
    def hang(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if ctx.attempt == 1:
            released.wait(10)

    try:
        hang.enqueue()
        sandbox.drain()
    finally:
        released.set()
    assert runs == [1, 2]
    assert sandbox.dead_letters(jobs) == []


def test_a_task_with_its_queues_whole_timeout_is_stopped_in_time_to_record_the_overrun(sandbox: Sandbox) -> None:
    brief = Queue("brief", timeout=timedelta(seconds=1), batch_size=10)

    @task(brief, timeout=brief.timeout, retry=Backoff(attempts=1))
    def hang() -> None:
        released.wait(10)

    try:
        hang.enqueue()
        sandbox.drain()
    finally:
        released.set()
    (letter,) = sandbox.dead_letters(brief)
    assert letter.failure is not None
    assert letter.failure.message == "it was not over after 0.9 s; raise the timeout of its @task, or of its queue"


def test_an_async_task_that_overruns_is_cancelled(sandbox: Sandbox) -> None:
    cancelled = threading.Event()

    @task(jobs, timeout=SHORT, retry=Backoff(attempts=1))
    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    hang.enqueue()
    sandbox.drain()
    assert cancelled.wait(5)
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.type == "celeriac.TaskTimeoutError"
    assert letter.failure.message == "it was not over after 0.1 s; raise the timeout of its @task, or of its queue"


def test_a_timeout_error_that_the_task_raises_is_not_an_overrun(sandbox: Sandbox) -> None:
    @task(jobs, timeout=timedelta(seconds=10), retry=Backoff(attempts=1))
    def own() -> None:
        raise TimeoutError("the provider's")

    own.enqueue()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert (letter.failure.type, letter.failure.message) == ("TimeoutError", "the provider's")


def test_a_task_that_ends_after_it_overran_can_commit_nothing(sandbox: Sandbox) -> None:
    tried = threading.Event()
    errors: list[str] = []

    @task(jobs, timeout=SHORT)
    def hang(ctx: Context) -> None:
        if ctx.attempt > 1:
            return
        released.wait(10)
        try:
            with ctx.transaction() as tx:
                tx.put("payments", {"pk": "from the overrun task"})
        except Exception as error:  # noqa: BLE001 - the test asserts the error's name below
            errors.append(type(error).__name__)
        tried.set()

    handle = hang.enqueue()
    sandbox.drain()
    released.set()
    assert tried.wait(10)
    assert errors == ["LeaseLostError"]
    assert handle.status().state == "succeeded"


def test_messages_that_cannot_end_in_time_are_handed_back_at_once_and_uncharged(sandbox: Sandbox) -> None:
    @task(jobs, timeout=timedelta(seconds=20), retry=Backoff(attempts=1))
    def slow(ctx: Context, number: int) -> None:
        runs.append(number)
        sandbox.advance(timedelta(seconds=15))  # the run's duration

    start = sandbox.now
    slow.enqueue_many({"number": i} for i in range(4))
    sandbox.drain()

    assert sorted(runs) == [0, 1, 2, 3]
    assert sandbox.dead_letters(jobs) == []
    assert sandbox.now - start < timedelta(minutes=2)


def test_the_last_message_of_a_batch_gets_enough_time(sandbox: Sandbox) -> None:
    left: list[timedelta] = []

    @task(jobs)
    def slow(ctx: Context) -> None:
        left.append(ctx.remaining)
        sandbox.advance(timedelta(seconds=8))

    slow.enqueue_many({} for _ in range(10))
    sandbox.drain()
    assert len(left) == 10
    assert min(left) >= timedelta(seconds=14)


def test_hand_backs_do_not_use_up_the_receives_of_a_message(sandbox: Sandbox) -> None:
    busy = Queue("busy", timeout=timedelta(seconds=30), max_receives=5, batch_size=10)

    @task(busy, timeout=timedelta(seconds=20))
    def slow(number: int) -> None:
        runs.append(number)
        sandbox.advance(timedelta(seconds=15))  # one message in each invocation: the others are handed back

    slow.enqueue_many({"number": i} for i in range(10))
    sandbox.drain()
    assert sorted(runs) == list(range(10))
    assert sandbox.dead_letters(busy) == []


def test_a_worker_in_which_too_many_calls_hang_hands_the_rest_back_and_ends(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    threads.forget()
    many = Queue("many", timeout=timedelta(seconds=30), concurrency=5, batch_size=10)

    @task(many, timeout=SHORT, retry=Backoff(attempts=1))
    def hang() -> None:
        released.wait(10)

    @task(many, delivery="at_most_once")
    def work(ctx: Context) -> None:
        runs.append(ctx.attempt)

    def ends() -> list[object]:
        return [vars(record)["why"] for record in caplog.records if record.getMessage().startswith("the worker ends")]

    try:
        hang.enqueue_many({} for _ in range(ending.MOST_LEFT_BEHIND - 1))
        sandbox.drain()
        assert threads.left_behind() == ending.MOST_LEFT_BEHIND - 1
        assert ends() == []

        hang.enqueue()
        sandbox.drain()
        assert ends() == ["10 calls that overran still run"]
        assert threads.left_behind() == 0

        start = sandbox.now
        hang.enqueue_many({} for _ in range(9))
        sandbox.run_once()
        hang.enqueue_many({} for _ in range(5))
        work.enqueue_many({} for _ in range(5))
        sandbox.drain()
        assert len(ends()) == 2
        assert sandbox.now - start < timedelta(seconds=10)
    finally:
        released.set()
    assert runs == [1] * 5
    assert len(sandbox.dead_letters(many)) == 24


def test_a_call_that_ends_after_its_worker_ended_is_not_missed_by_the_next(sandbox: Sandbox) -> None:
    threads.forget()

    @task(jobs, timeout=SHORT, retry=Backoff(attempts=1))
    def hang() -> None:
        released.wait(10)
        ended.set()

    ended = threading.Event()
    hang.enqueue()
    sandbox.drain()
    threads.forget()
    released.set()
    assert ended.wait(5)
    assert threads.left_behind() == 0
