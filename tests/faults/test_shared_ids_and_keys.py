"""Senders choose ids and keys. Messages that share one are neither lost nor run when they must not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from celeriac import Backoff, Context, Queue, Reject, Retry, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.consume.visiting import MOST_DEATHS_ALONE
from celeriac.leases import lease
from celeriac.leases.claim import Claim
from celeriac.leases.store import LeaseLostError
from celeriac.model.failure import Failure
from celeriac.model.message import Message, encode, new_id
from celeriac.testing import Sandbox, WorkerDied

jobs = Queue("jobs", batch_size=10)
ledger = Queue("ledger", fifo=True, batch_size=10)
runs: list[object] = []
cured: list[bool] = []
type Send = Callable[[Queue, object], None]
LEASE = timedelta(seconds=30)


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()
    cured.clear()


def _redrive(queue: Queue = jobs) -> None:
    """Send every dead letter back to its queue, as AWS's own tools do."""
    dead, source = sqs.url(queue.dead_letter_name("test")), sqs.url(queue.physical_name("test"))
    while messages := client("sqs").receive_message(QueueUrl=dead, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            fifo: Any = {"MessageGroupId": "g", "MessageDeduplicationId": new_id()} if queue.fifo else {}
            client("sqs").send_message(QueueUrl=source, MessageBody=message["Body"], **fifo)
            client("sqs").delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])


@task(jobs, retry=Backoff(base=timedelta(minutes=10), jitter=0))
def flaky(ctx: Context) -> None:
    runs.append(ctx.attempt)
    if not cured:
        raise ConnectionError


def test_a_letter_quarantined_after_a_failed_attempt_can_be_redriven(sandbox: Sandbox) -> None:
    handle = flaky.enqueue()
    sandbox.run_once()
    quarantine.add(quarantine.of_task("flaky"))
    sandbox.drain()
    assert len(sandbox.dead_letters(jobs)) == 1

    quarantine.lift(quarantine.of_task("flaky"))
    sandbox.advance(timedelta(minutes=1))
    cured.append(True)
    _redrive()
    sandbox.drain()
    assert runs == [1, 1]
    assert handle.status().state == "succeeded"


def test_a_redriven_letter_that_is_handed_back_still_runs(sandbox: Sandbox) -> None:
    @task(jobs, timeout=timedelta(seconds=16))
    def slow(number: int) -> None:
        runs.append(number)
        if not cured:
            raise Reject
        sandbox.advance(timedelta(seconds=16))  # one message in each invocation: the others are handed back repeatedly

    slow.enqueue_many({"number": i} for i in range(10))
    sandbox.drain()
    runs.clear()
    cured.append(True)
    _redrive()
    sandbox.drain()
    assert sorted(map(str, runs)) == [str(i) for i in range(10)]


def test_a_fifo_message_that_was_dead_lettered_twice_can_be_redriven(sandbox: Sandbox) -> None:
    @task(ledger)
    def refuse(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if not cured:
            raise Reject

    handle = refuse.options(group="g").enqueue()
    # The worker claims, sends the letter, and dies before it writes the record. Then it dies again, within SQS's five
    # minutes of deduplication. The letter that the record names must be in the queue.
    sandbox.crash_at(2, after=True)
    sandbox.drain()
    assert sandbox.dead_letters(ledger)
    cured.append(True)
    _redrive(ledger)
    sandbox.drain()
    assert handle.status().state == "succeeded"


def test_two_tasks_with_one_id_wait_in_two_schedules(sandbox: Sandbox, send: Send) -> None:
    for name in ("charge", "ship"):

        @task(jobs, name=name)
        def wait(ctx: Context) -> None:
            runs.append((ctx.task, ctx.attempt))
            if ctx.attempt == 1:
                raise Retry(delay=timedelta(hours=1))

        send(jobs, {"task": name, "id": "order-7"})
    sandbox.drain()
    assert sorted(map(str, runs)) == sorted(map(str, [("charge", 1), ("charge", 2), ("ship", 1), ("ship", 2)]))


def test_two_large_payloads_with_one_id_are_stored_separately(sandbox: Sandbox, send: Send) -> None:
    for name in ("first", "second"):

        @task(jobs, name=name, retry=Backoff(attempts=2))
        def take(ctx: Context, text: str) -> None:
            runs.append((ctx.task, text[0]))
            if ctx.attempt == 1:
                raise ConnectionError

        send(jobs, {"task": name, "id": "order-7", "args": {"text": name[0] * 400_000}})
    sandbox.drain()
    assert sorted(map(str, runs)) == sorted(map(str, [("first", "f"), ("second", "s")] * 2))


@task(jobs, key="name", delivery="at_most_once")
def launch(name: str, ending: str = "") -> None:
    runs.append(name)
    if ending == "failure":
        raise ConnectionError
    if ending == "death":
        raise WorkerDied


@pytest.mark.parametrize("ending", ["failure", "death"])
def test_at_most_once_holds_for_all_messages_of_a_key(sandbox: Sandbox, send: Send, ending: str) -> None:
    first = {"id": "019b76da-a800-777b-b172-c1977946262c", "task": "launch", "args": {"name": "a", "ending": ending}}
    send(jobs, first)
    launch.enqueue(name="a")
    sandbox.drain()
    send(jobs, first)
    sandbox.drain()
    assert runs == ["a"]


def _wanted() -> Claim:
    return Claim("work", "work:a", "the id", 1, datetime.now(UTC) + LEASE, timedelta(days=18))


def test_a_success_is_never_taken_over(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = lease.claim(_wanted())
    sandbox.advance(LEASE + timedelta(seconds=1))
    successor = lease._new_store(_wanted())
    found = successor.read("work:a")
    stale.complete(None)  # after the successor has read the record and before its claim
    with pytest.raises(lease.Busy):
        lease._claim_after(successor, found)
    with pytest.raises(lease.AlreadyDone):
        lease.claim(_wanted())


@pytest.mark.usefixtures("sandbox")
def test_a_failed_task_can_no_longer_commit() -> None:
    held = lease.claim(_wanted())
    held.dead(Failure(reason="exhausted"))
    with pytest.raises(LeaseLostError):
        held.complete("after all")


def test_a_success_removes_the_earlier_failure(sandbox: Sandbox) -> None:
    handle = flaky.enqueue()
    sandbox.run_once()
    assert handle.status().failure is not None
    cured.append(True)
    sandbox.drain()
    assert handle.status().failure is None


@task(ledger, key="name", retry=Backoff(base=timedelta(minutes=1), attempts=3), name="book_shared")
def book(ctx: Context, name: str, deaths: int = 0) -> None:
    runs.append((ctx.group, ctx.attempt))
    if len(runs) <= deaths:
        raise WorkerDied
    raise ConnectionError


def test_a_crash_does_not_reset_the_attempts_of_a_fifo_message(sandbox: Sandbox) -> None:
    @task(ledger, retry=Backoff(base=timedelta(minutes=1), attempts=4))
    def unlucky(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if len(runs) == 3:
            raise WorkerDied
        raise ConnectionError

    unlucky.options(group="g").enqueue()
    sandbox.drain()
    assert runs == [1, 2, 3, 3, 4]


def test_two_fifo_groups_with_one_key_count_their_own_attempts(sandbox: Sandbox) -> None:
    for group in ("g", "h"):
        book.options(group=group).enqueue(name="shared")
    sandbox.drain()
    assert sorted(map(str, runs)) == [str((group, n)) for group in "gh" for n in (1, 2, 3)]
    assert len(sandbox.dead_letters(ledger)) == 2


def test_the_status_of_a_fifo_success_has_its_attempts(sandbox: Sandbox) -> None:
    @task(ledger, retry=Backoff(base=timedelta(minutes=1)))
    def third(ctx: Context) -> None:
        if ctx.attempt < 3:
            raise ConnectionError

    handle = third.options(group="g").enqueue()
    sandbox.drain()
    assert handle.status().attempts == 3


@task(jobs, key="order")
def kill(order: str) -> None:
    runs.append(order)
    if len(runs) > 100:
        pytest.fail("it kills for ever")
    raise WorkerDied


def test_two_letters_of_one_message_that_kills_end_when_both_are_redriven(sandbox: Sandbox) -> None:
    """Neither hides from the other how many workers have died."""
    for hour in (1, 2):
        failure = Failure(reason="worker lost", last_at=datetime(2026, 1, 1, hour, tzinfo=UTC))
        letter = Message(id="m-1", task="kill", args=msgspec.Raw(b'{"order": "o-1"}'), failure=failure)
        client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name("test")), MessageBody=encode(letter))
    sandbox.drain()
    assert len(runs) <= 2 * (1 + MOST_DEATHS_ALONE)
    assert {letter.failure and letter.failure.reason for letter in sandbox.dead_letters(jobs)} == {"worker lost"}
