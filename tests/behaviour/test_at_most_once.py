"""At most once: a task is claimed before it runs, and never runs again."""

import threading
from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, Retry, task
from celeriac.model.errors import TaskError
from celeriac.testing import Sandbox, WorkerDied

jobs = Queue("jobs", batch_size=10)
runs: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()


@task(jobs, key="name", delivery="at_most_once")
def launch(ctx: Context, name: str, ending: str = "") -> None:
    runs.append(name)
    if ending == "failure":
        raise ConnectionError("it may have left")
    if ending == "retry":
        raise Retry(delay=timedelta(minutes=1))
    if ending == "death":
        raise WorkerDied


def _reasons(sandbox: Sandbox) -> list[str]:
    return [letter.failure.reason for letter in sandbox.dead_letters(jobs) if letter.failure is not None]


def test_an_at_most_once_task_runs_once(sandbox: Sandbox) -> None:
    launch.enqueue(name="a")
    launch.enqueue(name="a")
    sandbox.drain()
    assert runs == ["a"]
    assert sandbox.dead_letters(jobs) == []


@pytest.mark.parametrize("ending", ["failure", "retry"])
def test_a_failed_at_most_once_task_is_a_dead_letter_and_is_not_tried_again(sandbox: Sandbox, ending: str) -> None:
    launch.enqueue(name="a", ending=ending)
    sandbox.drain()
    assert runs == ["a"]
    assert _reasons(sandbox) == ["exhausted"]


def test_an_interrupted_at_most_once_task_is_a_dead_letter(sandbox: Sandbox) -> None:
    launch.enqueue(name="a", ending="death")
    sandbox.drain()
    assert runs == ["a"]
    assert _reasons(sandbox) == ["interrupted"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("ending", ["", "failure"])
def test_an_at_most_once_task_never_runs_twice_and_is_never_lost_wherever_its_worker_dies(
    sandbox: Sandbox, ending: str, call: int, *, after: bool
) -> None:
    handle = launch.enqueue(name="a", ending=ending)
    sandbox.crash_at(call, after=after)
    sandbox.drain()

    assert len(runs) <= 1
    assert (handle.status().state == "succeeded") != bool(_reasons(sandbox))


def test_at_most_once_with_a_retry_policy_is_refused() -> None:
    with pytest.raises(TaskError, match="task 'twice': delivery at_most_once means a single attempt"):

        @task(jobs, delivery="at_most_once", retry=Backoff(attempts=2))
        def twice() -> None: ...


def test_an_at_most_once_task_that_overran_is_a_dead_letter_and_never_runs_again(sandbox: Sandbox) -> None:
    released = threading.Event()

    @task(jobs, delivery="at_most_once", timeout=timedelta(milliseconds=50))
    def hang() -> None:
        runs.append("hang")
        released.wait(10)

    try:
        hang.enqueue()
        sandbox.drain()
    finally:
        released.set()
    assert runs == ["hang"]
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.type) == ("interrupted", "celeriac.TaskTimeoutError")
