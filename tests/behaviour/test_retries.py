"""What happens to a task that fails."""

import asyncio
from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, Reject, Retry, task
from celeriac.testing import Sandbox

jobs = Queue("jobs", batch_size=10)
attempts: list[int] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    attempts.clear()


def test_a_failed_task_is_tried_again_after_its_backoff(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(base=timedelta(seconds=60), factor=2, jitter=0))
    def flaky(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ConnectionError("the provider is down")

    start = sandbox.now
    flaky.enqueue()
    sandbox.drain()

    assert attempts == [1, 2, 3]
    assert sandbox.now - start == timedelta(seconds=60 + 120)
    assert sandbox.dead_letters(jobs) == []


def test_jitter_spreads_the_retries_of_tasks_that_failed_together(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(base=timedelta(minutes=10), jitter=0.3, attempts=2))
    def failing(number: int) -> None:
        seen.append(sandbox.now)
        raise ConnectionError

    seen: list[object] = []
    failing.enqueue_many({"number": i} for i in range(20))
    sandbox.drain()

    first, retries = set(seen[:20]), set(seen[20:])
    assert len(first) == 1
    assert len(retries) > 10


def test_a_task_that_never_succeeds_ends_as_a_dead_letter_with_its_failure(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(attempts=3))
    def doomed(order: str) -> None:
        raise ValueError("no such order")

    start = sandbox.now
    handle = doomed.enqueue(order="o-1")
    sandbox.drain()

    (letter,) = sandbox.dead_letters(jobs)
    assert (letter.id, letter.task, letter.args) == (handle.id, "doomed", {"order": "o-1"})
    failure = letter.failure
    assert failure is not None
    assert (failure.reason, failure.type, failure.message) == ("exhausted", "ValueError", "no such order")
    assert failure.attempts == 3
    assert failure.first_at == start
    assert failure.last_at is not None
    assert failure.last_at > start
    assert failure.function == "celeriac-test--jobs"
    assert failure.request_id
    assert 'raise ValueError("no such order")' in failure.traceback


def test_a_rejected_task_is_a_dead_letter_at_once(sandbox: Sandbox) -> None:
    @task(jobs)
    def charge(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise Reject("card declined")

    charge.enqueue()
    sandbox.drain()

    assert attempts == [1]
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.message) == ("rejected", "card declined")


def test_a_task_may_set_the_delay_of_its_retry(sandbox: Sandbox) -> None:
    @task(jobs)
    def charge(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise Retry("busy", delay=timedelta(minutes=5))

    start = sandbox.now
    charge.enqueue()
    sandbox.drain()

    assert attempts == [1, 2]
    # Never earlier than the delay, and up to a tenth later, so that tasks with the same delay don't return together.
    assert timedelta(minutes=5) <= sandbox.now - start <= timedelta(minutes=5.5, seconds=1)


def test_a_retry_delay_longer_than_sqs_allows_becomes_a_schedule(sandbox: Sandbox) -> None:
    @task(jobs)
    def charge(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise Retry("closed over the weekend", delay=timedelta(days=2))

    sandbox.advance(timedelta(milliseconds=700))  # schedules have whole seconds only
    start = sandbox.now
    charge.enqueue()
    sandbox.drain()

    assert attempts == [1, 2]
    assert timedelta(days=2) <= sandbox.now - start <= timedelta(days=2.2, minutes=1)


def test_a_task_that_is_too_old_is_not_tried_again(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(base=timedelta(minutes=10), jitter=0, attempts=100, give_up_after=timedelta(minutes=35)))
    def late(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise ConnectionError

    late.enqueue()
    sandbox.drain()

    assert attempts == [1, 2, 3]
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.reason == "expired"


def test_a_policy_can_tell_permanent_from_transient_errors(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(retry_on=(OSError,), reject_on=(FileNotFoundError,), attempts=2))
    def sorted_out(kind: str) -> None:
        attempts.append(1)
        raise {"transient": OSError, "permanent": FileNotFoundError, "other": KeyError}[kind]

    sorted_out.enqueue_many({"kind": kind} for kind in ("transient", "permanent", "other"))
    sandbox.drain()

    assert len(attempts) == 4
    reasons = {letter.args["kind"]: letter.failure and letter.failure.reason for letter in sandbox.dead_letters(jobs)}
    assert reasons == {"transient": "exhausted", "permanent": "rejected", "other": "rejected"}


def test_a_policy_can_be_a_function(sandbox: Sandbox) -> None:
    def every_minute_twice(error: BaseException, attempt: int) -> timedelta | None:
        return timedelta(minutes=1) if attempt < 3 else None

    @task(jobs, retry=every_minute_twice)
    def failing(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise ConnectionError

    failing.enqueue()
    sandbox.drain()
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_task_that_calls_exit_fails_like_any_other(sandbox: Sandbox, ending: type[BaseException]) -> None:
    @task(jobs, retry=Backoff(attempts=1))
    def leaving() -> None:
        raise ending

    leaving.enqueue()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.type == ending.__name__


def test_a_cancelled_async_task_fails_like_any_other(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(attempts=1))
    async def cancelled() -> None:
        raise asyncio.CancelledError

    cancelled.enqueue()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.message == "the task was cancelled"
