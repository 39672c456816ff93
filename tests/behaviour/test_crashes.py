"""Workers die: out of memory, killed, out of time. The rest of the batch is not affected."""

import threading
from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, task
from celeriac.testing import Sandbox, WorkerDied
from tests.support.faults import out_of_reach
from tests.support.redrive import redrive_as_aws_does

jobs = Queue("jobs", concurrency=1, batch_size=10)
wide = Queue("wide", concurrency=5, batch_size=10)
runs: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()


@task(jobs, key="name")
def work(name: str) -> None:
    runs.append(name)
    if name == "crashing":
        raise WorkerDied


@task(wide, key="name")
def work_beside(name: str) -> None:
    runs.append(name)
    if name == "crashing":
        raise WorkerDied


@task(jobs, delivery="at_least_once")
def notify(name: str) -> None:
    runs.append(name)
    if name == "crashing":
        raise WorkerDied


def test_a_task_that_crashes_its_worker_three_times_is_a_dead_letter(sandbox: Sandbox) -> None:
    work.enqueue(name="crashing")
    sandbox.drain()

    assert runs == ["crashing"] * 3
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"


@pytest.mark.parametrize("position", [0, 4, 9])
def test_the_rest_of_the_batch_of_a_crashing_task_succeeds_once(sandbox: Sandbox, position: int) -> None:
    names = [f"other {i}" for i in range(9)]
    names.insert(position, "crashing")
    work.enqueue_many({"name": name} for name in names)
    sandbox.drain()

    # The first crash was among other messages and doesn't count. Then the task runs alone, three times.
    assert runs.count("crashing") == 4
    assert sorted(set(runs)) == sorted(names)
    assert all(runs.count(name) == 1 for name in names if name != "crashing")
    assert [letter.args["name"] for letter in sandbox.dead_letters(jobs)] == ["crashing"]


def test_a_crashing_task_among_concurrent_tasks(sandbox: Sandbox) -> None:
    names = [f"other {i}" for i in range(9)] + ["crashing"]
    work_beside.enqueue_many({"name": name} for name in names)
    sandbox.drain()

    assert set(runs) == set(names)
    assert [letter.args["name"] for letter in sandbox.dead_letters(wide)] == ["crashing"]


def test_two_crashing_tasks_in_one_batch_harm_no_other_task(sandbox: Sandbox) -> None:
    names = ["crashing", "a", "b", "c"]
    work.enqueue_many({"name": name} for name in names)
    work.options(key="second").enqueue(name="crashing")
    sandbox.drain()

    assert len(sandbox.dead_letters(jobs)) == 2
    assert all(runs.count(name) == 1 for name in "abc")


def test_a_crashing_task_without_a_record_is_noted_from_its_second_receive_on(sandbox: Sandbox) -> None:
    names = ["crashing", *(f"other {i}" for i in range(5))]
    notify.enqueue_many({"name": name} for name in names)
    sandbox.drain()

    assert set(runs) == set(names)
    # The first crash was not recorded, the second was among other messages. Then the task ran alone, three times.
    assert runs.count("crashing") == 5
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.args == {"name": "crashing"}
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"


def test_crashing_tasks_without_a_lease_dead_letter_nothing_else_in_the_batch(sandbox: Sandbox) -> None:
    notify.enqueue_many({"name": name} for name in ("crashing",) * 8 + ("a", "b"))
    sandbox.drain()

    letters = sandbox.dead_letters(jobs)
    assert [letter.failure and letter.failure.reason for letter in letters] == ["worker lost"] * 8
    assert {"a", "b"} < set(runs)


@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("minutes", range(1, 13))
def test_a_message_does_not_answer_for_the_crashes_of_another_one_of_its_key(
    sandbox: Sandbox, minutes: int, *, fifo: bool
) -> None:
    """The other one arrives when the last worker of the key has died, and before SQS shows the crashing one again."""
    queue = Queue("ledger", fifo=True) if fifo else jobs

    @task(queue, key="order", retry=Backoff(attempts=2, base=timedelta(minutes=4), cap=timedelta(minutes=4)))
    def charge(ctx: Context, order: str, how: str) -> None:
        runs.append(how)
        if how == "crashing":
            raise WorkerDied
        if ctx.attempt == 1:
            raise OSError

    charge.options(group="a" if fifo else None).enqueue("o-1", "crashing")
    for _ in range(minutes):
        sandbox.run_once()
        sandbox.advance(timedelta(minutes=1))
    charge.options(group="b" if fifo else None).enqueue("o-1", "healthy")
    sandbox.drain()

    assert runs.count("healthy") == 2
    assert runs.count("crashing") <= 3 * 3
    assert {letter.args["how"] for letter in sandbox.dead_letters(queue)} <= {"crashing"}


def test_a_task_dead_lettered_for_its_crashes_may_crash_again_after_a_redrive(sandbox: Sandbox) -> None:
    """The record of the first run doesn't end the second: the redriven message is not skipped as a copy of a dead
    letter.
    """
    notify.enqueue(name="crashing")
    sandbox.drain()
    redrive_as_aws_does(jobs)
    sandbox.drain()
    assert runs.count("crashing") == 8
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"


@pytest.mark.parametrize("redrives", [0, 1])
def test_an_old_release_that_sends_it_back_does_not_forget_its_crashes(sandbox: Sandbox, redrives: int) -> None:
    """During a deploy the old release, which doesn't know the task, sends a fresh copy after each crash."""
    notify.enqueue(name="crashing")
    for _ in range(redrives):
        sandbox.drain()
        redrive_as_aws_does(jobs)
        runs.clear()
    notify.enqueue(name="healthy")
    with sandbox.rollout([work]):
        sandbox.drain()

    assert runs.count("healthy") == 1
    assert runs.count("crashing") <= 4
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"


def test_a_task_that_crashed_once_succeeds_on_its_next_run(sandbox: Sandbox) -> None:
    first = True

    @task(jobs)
    def unlucky() -> None:
        nonlocal first
        runs.append("ran")
        if first:
            first = False
            raise WorkerDied

    handle = unlucky.enqueue()
    sandbox.drain()
    assert runs == ["ran", "ran"]
    assert handle.status().attempts == 1


def test_a_crash_suspect_waits_if_the_rest_of_the_batch_cannot_be_deleted(sandbox: Sandbox) -> None:
    with out_of_reach("sqs", "DeleteMessageBatch", calls=range(1, 2)) as calls:
        work.enqueue_many({"name": name} for name in ("a", "crashing", "b"))
        sandbox.drain()
    assert calls
    assert (runs.count("a"), runs.count("b")) == (1, 1)
    assert [letter.args["name"] for letter in sandbox.dead_letters(jobs)] == ["crashing"]


def test_a_crash_beside_a_hanging_background_thread_is_not_charged(sandbox: Sandbox) -> None:
    released = threading.Event()

    @task(jobs, timeout=timedelta(milliseconds=50), retry=Backoff(attempts=1))
    def hog() -> None:
        released.wait(10)

    hog.enqueue()
    sandbox.drain()
    try:
        work.enqueue(name="crashing")
        for _ in range(8):  # the crashing task dies more than four times, each time beside the hog
            sandbox.run_once()
            sandbox.advance(jobs.visibility + timedelta(seconds=1))
        assert runs.count("crashing") > 4
        assert [letter.task for letter in sandbox.dead_letters(jobs)] == ["hog"]
    finally:
        released.set()


def test_a_crashing_task_on_a_fifo_queue_does_not_harm_another_group(sandbox: Sandbox) -> None:
    ledger = Queue("ledger", fifo=True, batch_size=10)

    @task(ledger, key="name")
    def book(name: str) -> None:
        runs.append(name)
        if name == "crashing":
            raise WorkerDied

    book.options(group="g").enqueue(name="crashing")
    sandbox.run_once()
    sandbox.advance(ledger.visibility + timedelta(seconds=1))
    # This message is done and deleted before the crashing message has its turn, so that one runs alone.
    book.options(group="h").enqueue(name="other")
    sandbox.drain()
    assert runs.count("other") == 1
    assert [letter.args["name"] for letter in sandbox.dead_letters(ledger)] == ["crashing"]


def test_two_crashing_messages_with_one_key_end_as_dead_letters(sandbox: Sandbox) -> None:
    """Both messages share a record. A dead one must not run again because the other crashes the worker."""
    ledger = Queue("ledger", fifo=True, concurrency=1, batch_size=10)

    @task(ledger, key="name")
    def book(name: str) -> None:
        runs.append(name)
        raise WorkerDied

    for group in "gh":
        book.options(group=group).enqueue(name="crashing")
    sandbox.drain()
    assert len(sandbox.dead_letters(ledger)) == 2
    assert len(runs) <= 8


def test_messages_behind_a_crashing_task_without_a_lease_run_on_a_fifo_queue(sandbox: Sandbox) -> None:
    """SQS counts a receive for the whole group each time, and would dead-letter the whole group."""
    ledger = Queue("ledger", fifo=True, batch_size=10)

    @task(ledger, delivery="at_least_once")
    def book(name: str) -> None:
        runs.append(name)
        if name == "crashing":
            raise WorkerDied

    book.options(group="g").enqueue_many({"name": name} for name in ("crashing", "a", "b"))
    sandbox.drain()
    assert runs == ["crashing"] * runs.count("crashing") + ["a", "b"]
    assert runs.count("crashing") <= 5
    assert [letter.failure and letter.failure.reason for letter in sandbox.dead_letters(ledger)] == ["worker lost"]


def test_an_at_least_once_attempt_on_a_fifo_queue_is_counted_once(sandbox: Sandbox) -> None:
    ledger = Queue("ledger", fifo=True, batch_size=10)
    attempts: list[tuple[str, int]] = []

    @task(ledger, delivery="at_least_once", retry=Backoff(attempts=4))
    def book(ctx: Context, name: str) -> None:
        attempts.append((name, ctx.attempt))
        raise ConnectionError

    book.options(group="g").enqueue_many({"name": name} for name in ("first", "second"))
    sandbox.drain()
    # The second message is received behind the first and doesn't run, so no attempt is counted.
    assert attempts == [(name, n) for name in ("first", "second") for n in (1, 2, 3, 4)]


def test_a_batch_of_crashing_tasks_does_not_dead_letter_its_other_messages(sandbox: Sandbox) -> None:
    """Eight crashing tasks crash at least 24 times. The other messages must have receives left then (SQS allows 20)."""
    work.enqueue_many({"name": name} for name in ("a", "b"))
    for i in range(8):
        work.options(key=f"crashing {i}").enqueue(name="crashing")
    sandbox.drain()

    letters = sandbox.dead_letters(jobs)
    assert [letter.failure and letter.failure.reason for letter in letters] == ["worker lost"] * 8
    assert (runs.count("a"), runs.count("b")) == (1, 1)


def test_a_crash_suspect_waits_longer_if_no_copy_can_be_sent(sandbox: Sandbox) -> None:
    for i in range(8):
        work.options(key=f"crashing {i}").enqueue(name="crashing")
    with out_of_reach("sqs", "SendMessage", calls=range(1, 12)) as calls:
        sandbox.drain()
    assert len(calls) > 12
    assert len({letter.id for letter in sandbox.dead_letters(jobs)}) == 8
