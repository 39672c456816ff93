"""Workers die: out of memory, killed, out of time. Their batch mates never suffer for it."""

import threading
from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, task
from celeriac.testing import Sandbox, WorkerDied
from tests.injection import out_of_reach
from tests.redriving import redrive_as_aws_does

jobs = Queue("jobs", concurrency=1)
wide = Queue("wide", concurrency=5)
runs: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()


@task(jobs, key="name")
def work(name: str) -> None:
    runs.append(name)
    if name == "killer":
        raise WorkerDied


@task(wide, key="name")
def work_beside(name: str) -> None:
    runs.append(name)
    if name == "killer":
        raise WorkerDied


@task(jobs, delivery="at_least_once")
def notify(name: str) -> None:
    runs.append(name)
    if name == "killer":
        raise WorkerDied


def test_a_task_that_kills_its_worker_three_times_is_a_dead_letter(sandbox: Sandbox) -> None:
    work.enqueue(name="killer")
    sandbox.drain()

    assert runs == ["killer"] * 3
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"


@pytest.mark.parametrize("position", [0, 4, 9])
def test_batch_mates_of_a_killer_succeed_once_and_are_never_dead(sandbox: Sandbox, position: int) -> None:
    names = [f"mate {i}" for i in range(9)]
    names.insert(position, "killer")
    work.enqueue_many({"name": name} for name in names)
    sandbox.drain()

    # Its first death was among others and doesn't count; then it runs alone, three times.
    assert runs.count("killer") == 4
    assert sorted(set(runs)) == sorted(names)
    assert all(runs.count(name) == 1 for name in names if name != "killer")
    assert [letter.args["name"] for letter in sandbox.dead_letters(jobs)] == ["killer"]


def test_a_killer_among_tasks_side_by_side(sandbox: Sandbox) -> None:
    names = [f"mate {i}" for i in range(9)] + ["killer"]
    work_beside.enqueue_many({"name": name} for name in names)
    sandbox.drain()

    assert set(runs) == set(names)
    assert [letter.args["name"] for letter in sandbox.dead_letters(wide)] == ["killer"]


def test_two_killers_and_their_mates(sandbox: Sandbox) -> None:
    names = ["killer", "a", "b", "c"]
    work.enqueue_many({"name": name} for name in names)
    work.options(key="second").enqueue(name="killer")
    sandbox.drain()

    assert len(sandbox.dead_letters(jobs)) == 2
    assert all(runs.count(name) == 1 for name in "abc")


def test_what_keeps_no_record_is_remembered_from_its_second_receive_on(sandbox: Sandbox) -> None:
    names = ["killer", *(f"mate {i}" for i in range(5))]
    notify.enqueue_many({"name": name} for name in names)
    sandbox.drain()

    assert set(runs) == set(names)
    # Its first death went unrecorded, its second was among others; then it ran alone, three times.
    assert runs.count("killer") == 5
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.args == {"name": "killer"}
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"


def test_killers_without_a_lease_bury_none_of_their_mates(sandbox: Sandbox) -> None:
    notify.enqueue_many({"name": name} for name in ("killer",) * 8 + ("a", "b"))
    sandbox.drain()

    letters = sandbox.dead_letters(jobs)
    assert [letter.failure and letter.failure.reason for letter in letters] == ["worker lost"] * 8
    assert {"a", "b"} < set(runs)


def test_what_died_of_its_crashes_may_crash_again_once_it_is_redriven(sandbox: Sandbox) -> None:
    """The record of one life doesn't end the next: nothing is skipped as a stray copy of what was dead."""
    notify.enqueue(name="killer")
    sandbox.drain()
    redrive_as_aws_does(jobs)
    sandbox.drain()
    assert runs.count("killer") == 8
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"


def test_a_crash_that_was_an_accident_is_forgiven(sandbox: Sandbox) -> None:
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


def test_where_mates_cannot_be_deleted_a_suspect_waits(sandbox: Sandbox) -> None:
    with out_of_reach("sqs", "DeleteMessageBatch", calls=range(1, 2)) as calls:
        work.enqueue_many({"name": name} for name in ("a", "killer", "b"))
        sandbox.drain()
    assert calls
    assert (runs.count("a"), runs.count("b")) == (1, 1)
    assert [letter.args["name"] for letter in sandbox.dead_letters(jobs)] == ["killer"]


def test_a_crash_beside_what_hangs_in_the_background_is_not_charged(sandbox: Sandbox) -> None:
    released = threading.Event()

    @task(jobs, timeout=timedelta(milliseconds=50), retry=Backoff(attempts=1))
    def hog() -> None:
        released.wait(10)

    hog.enqueue()
    sandbox.drain()
    try:
        work.enqueue(name="killer")
        for _ in range(8):  # it dies four times and more, each time beside the hog
            sandbox.run_once()
            sandbox.advance(jobs.visibility + timedelta(seconds=1))
        assert runs.count("killer") > 4
        assert [letter.task for letter in sandbox.dead_letters(jobs)] == ["hog"]
    finally:
        released.set()


def test_a_killer_on_a_fifo_queue_and_the_group_beside_it(sandbox: Sandbox) -> None:
    ledger = Queue("ledger", fifo=True)

    @task(ledger, key="name")
    def book(name: str) -> None:
        runs.append(name)
        if name == "killer":
            raise WorkerDied

    book.options(group="g").enqueue(name="killer")
    sandbox.run_once()
    sandbox.advance(ledger.visibility + timedelta(seconds=1))
    # Done and deleted when the killer's turn has come, which then runs alone.
    book.options(group="h").enqueue(name="mate")
    sandbox.drain()
    assert runs.count("mate") == 1
    assert [letter.args["name"] for letter in sandbox.dead_letters(ledger)] == ["killer"]


def test_two_killers_of_one_key_end_after_their_crashes(sandbox: Sandbox) -> None:
    """They share a record: one that is dead must not come back because the other kills its worker beside it."""
    ledger = Queue("ledger", fifo=True, concurrency=1)

    @task(ledger, key="name")
    def book(name: str) -> None:
        runs.append(name)
        raise WorkerDied

    for group in "gh":
        book.options(group=group).enqueue(name="killer")
    sandbox.drain()
    assert len(sandbox.dead_letters(ledger)) == 2
    assert len(runs) <= 8


def test_a_killer_without_a_lease_on_a_fifo_queue_and_what_follows_it(sandbox: Sandbox) -> None:
    """SQS counts a receive for its whole group each time, and would bury them together."""
    ledger = Queue("ledger", fifo=True)

    @task(ledger, delivery="at_least_once")
    def book(name: str) -> None:
        runs.append(name)
        if name == "killer":
            raise WorkerDied

    book.options(group="g").enqueue_many({"name": name} for name in ("killer", "a", "b"))
    sandbox.drain()
    assert runs == ["killer"] * runs.count("killer") + ["a", "b"]
    assert runs.count("killer") <= 5
    assert [letter.failure and letter.failure.reason for letter in sandbox.dead_letters(ledger)] == ["worker lost"]


def test_an_at_least_once_attempt_on_a_fifo_queue_is_counted_once(sandbox: Sandbox) -> None:
    ledger = Queue("ledger", fifo=True)
    attempts: list[tuple[str, int]] = []

    @task(ledger, delivery="at_least_once", retry=Backoff(attempts=4))
    def book(ctx: Context, name: str) -> None:
        attempts.append((name, ctx.attempt))
        raise ConnectionError

    book.options(group="g").enqueue_many({"name": name} for name in ("first", "second"))
    sandbox.drain()
    # The second one is received behind the first one, and doesn't run: no attempt.
    assert attempts == [(name, n) for name in ("first", "second") for n in (1, 2, 3, 4)]


def test_a_batch_of_killers_does_not_bury_its_mates(sandbox: Sandbox) -> None:
    """Eight killers die 24 times and more: their mates' receives must not be used up by then (SQS allows 20)."""
    work.enqueue_many({"name": name} for name in ("a", "b"))
    for i in range(8):
        work.options(key=f"killer {i}").enqueue(name="killer")
    sandbox.drain()

    letters = sandbox.dead_letters(jobs)
    assert [letter.failure and letter.failure.reason for letter in letters] == ["worker lost"] * 8
    assert (runs.count("a"), runs.count("b")) == (1, 1)


def test_where_no_copy_can_be_sent_a_suspect_waits_on(sandbox: Sandbox) -> None:
    for i in range(8):
        work.options(key=f"killer {i}").enqueue(name="killer")
    with out_of_reach("sqs", "SendMessage", calls=range(1, 12)) as calls:
        sandbox.drain()
    assert len(calls) > 12
    assert len({letter.id for letter in sandbox.dead_letters(jobs)}) == 8
