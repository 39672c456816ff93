"""What a sender can learn about a task."""

from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, Reject, Status, TaskFailedError, task
from celeriac.testing import Sandbox

jobs = Queue("jobs", batch_size=10)


@task(jobs, key="name", retry=Backoff(base=timedelta(minutes=1), jitter=0, attempts=3))
def work(ctx: Context, name: str, failures: int = 0) -> dict[str, int]:
    if ctx.attempt <= failures:
        raise ConnectionError("not now")
    return {"attempt": ctx.attempt}


@task(jobs)
def refuse() -> None:
    raise Reject("no")


@task(jobs, delivery="at_least_once")
def notify() -> None: ...


def test_a_status_goes_from_queued_to_succeeded(sandbox: Sandbox) -> None:
    handle = work.enqueue(name="a", failures=1)
    assert handle.status() == Status("queued")

    sandbox.run_once()
    retrying = handle.status()
    assert (retrying.state, retrying.attempts) == ("retrying", 1)
    assert retrying.failure is not None
    assert retrying.failure.message == "not now"

    sandbox.drain()
    assert handle.status() == Status("succeeded", attempts=2, result={"attempt": 2})


def test_the_status_of_a_running_task_is_running(sandbox: Sandbox) -> None:
    seen: list[Status] = []

    @task(jobs, key="name")
    def look(name: str) -> None:
        seen.append(handle.status())

    handle = look.enqueue(name="a")
    sandbox.drain()
    assert [status.state for status in seen] == ["running"]


def test_the_status_of_a_task_whose_worker_died_is_retrying(sandbox: Sandbox) -> None:
    handle = work.enqueue(name="a")
    sandbox.crash_at(2)
    sandbox.run_once()
    sandbox.advance(jobs.timeout + timedelta(seconds=1))
    assert handle.status().state == "retrying"


def test_the_status_of_a_dead_letter_has_its_reason(sandbox: Sandbox) -> None:
    handle = refuse.enqueue()
    sandbox.drain()
    status = handle.status()
    assert status.state == "dead"
    assert status.failure is not None
    assert (status.failure.reason, status.failure.message) == ("rejected", "no")


def test_a_result_can_be_waited_for(sandbox: Sandbox) -> None:
    handle = work.enqueue(name="a", failures=1)
    start = sandbox.now
    assert handle.result(timeout=timedelta(minutes=5)) == {"attempt": 2}
    assert timedelta(minutes=1) <= sandbox.now - start < timedelta(minutes=2)


def test_waiting_for_the_result_of_a_dead_letter_raises_its_failure(sandbox: Sandbox) -> None:
    with pytest.raises(TaskFailedError, match=r"task 'refuse' is a dead letter, rejected: .*: no") as caught:
        refuse.enqueue().result()
    assert caught.value.failure is not None


def test_waiting_for_a_result_ends_after_the_timeout(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError, match="'work' is retrying after 0:00:20"):
        work.enqueue(name="a", failures=3).result(timeout=timedelta(seconds=20))


def test_a_duplicate_has_the_result_of_the_first_message(sandbox: Sandbox) -> None:
    work.enqueue(name="a")
    second = work.enqueue(name="a")
    sandbox.drain()
    assert second.status() == Status("succeeded", attempts=1, result={"attempt": 1})


def test_a_large_result_is_kept(sandbox: Sandbox) -> None:
    @task(jobs)
    def large() -> str:
        return "x" * 150_000

    assert large.enqueue().result() == "x" * 150_000


def test_nothing_is_stored_about_an_at_least_once_task(sandbox: Sandbox) -> None:
    handle = notify.enqueue()
    sandbox.drain()
    assert handle.status() == Status("unknown")
    with pytest.raises(TypeError, match="'notify' is at_least_once: no result"):
        handle.result()
