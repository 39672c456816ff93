"""An outage of AWS charges nobody: no attempt, no crash, no dead letter, and no second run for want of one write."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from celeriac import Backoff, Context, Queue, Reject, Retry, task
from celeriac.testing import Call, Sandbox

jobs = Queue("outages", batch_size=10, concurrency=10)
quick = Queue("outages-quick", timeout=timedelta(seconds=1), batch_size=10, concurrency=10)
ledger = Queue("outages-ledger", fifo=True, batch_size=10)
SOON = timedelta(minutes=2)


def _out(sandbox: Sandbox, *operations: str, lasts: timedelta, queue: str = "") -> Callable[[Call], Any]:
    """A fault: the operations, on the queue if one is given, can't be reached for a while."""
    until = sandbox.now + lasts

    def fault(call: Call) -> Any:
        its = str(call.arguments.get("QueueUrl", ""))
        if call.operation in operations and sandbox.now < until and its.endswith(queue):
            raise ReadTimeoutError(endpoint_url="https://aws.example")
        return call.make()

    return fault


def _run_for(sandbox: Sandbox, time: timedelta) -> int:
    """Run everything that falls due in this time. Returns how many invocations it took."""
    end, invocations = sandbox.now + time, 0
    while sandbox.now < end:
        invocations += sandbox.run_once()
        sandbox.advance(timedelta(seconds=10))
    return invocations


@pytest.mark.parametrize("lasts", [timedelta(seconds=5), timedelta(minutes=10), timedelta(hours=2)])
def test_a_failed_attempt_whose_successor_cannot_be_sent_is_not_repeated(sandbox: Sandbox, lasts: timedelta) -> None:
    runs: list[datetime] = []

    @task(jobs, retry=Backoff(base=timedelta(hours=1), jitter=0, attempts=2))
    def work() -> None:
        runs.append(sandbox.now)
        if len(runs) == 1:
            raise ValueError

    handle = work.enqueue()
    with sandbox.fault(_out(sandbox, "SendMessage", "CreateSchedule", lasts=lasts)):
        sandbox.drain()

    assert len(runs) == 2
    assert timedelta(hours=1) <= runs[1] - runs[0] <= max(timedelta(hours=1), lasts) + SOON
    assert handle.status().attempts == 2
    assert sandbox.dead_letters(jobs) == []


def test_a_retry_whose_record_cannot_be_written_is_no_crash(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """The message of the second attempt shows that the first one has ended."""
    runs: list[int] = []

    @task(jobs, retry=Backoff(base=timedelta(minutes=5), jitter=0))
    def work(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if ctx.attempt == 1:
            raise ValueError

    handle = work.enqueue()
    with sandbox.fault(_out(sandbox, "UpdateItem", lasts=timedelta(minutes=2))):
        sandbox.drain()

    assert runs == [1, 2]
    assert handle.status().attempts == 2
    assert [record for record in caplog.records if record.getMessage() == "worker lost"] == []


def test_an_uncharged_retry_that_cannot_be_sent_stays_uncharged(sandbox: Sandbox) -> None:
    runs: list[datetime] = []

    @task(jobs, retry=Backoff(attempts=1))
    def work() -> None:
        runs.append(sandbox.now)
        if len(runs) == 1:
            raise Retry("closed", delay=timedelta(minutes=5), charge=False)

    handle = work.enqueue()
    with sandbox.fault(_out(sandbox, "SendMessage", lasts=timedelta(minutes=30))):
        sandbox.drain()

    assert len(runs) == 2
    assert handle.status().attempts == 1


@pytest.mark.parametrize("delivery", ["effectively_once", "at_most_once"])
def test_a_dead_letter_that_cannot_be_sent_is_sent_after_the_outage_and_the_task_does_not_run_again(
    sandbox: Sandbox, delivery: Any
) -> None:
    runs: list[datetime] = []

    @task(jobs, delivery=delivery)
    def work() -> None:
        runs.append(sandbox.now)
        raise Reject("no")

    handle = work.enqueue()
    with sandbox.fault(_out(sandbox, "SendMessage", lasts=timedelta(hours=2), queue="-dlq")):
        _run_for(sandbox, timedelta(hours=2))
        assert sandbox.dead_letters(jobs) == []
        sandbox.drain()

    assert len(runs) == 1
    assert [letter.failure.reason for letter in sandbox.dead_letters(jobs) if letter.failure] == ["rejected"]
    assert handle.status().state == "dead"


def test_another_message_of_the_key_does_not_wait_for_the_one_whose_successor_is_not_sent(sandbox: Sandbox) -> None:
    runs: list[str] = []

    @task(jobs, key="number", retry=Backoff(base=timedelta(minutes=10), jitter=0))
    def work(number: int, name: str) -> None:
        runs.append(name)
        if name == "first":
            raise ValueError

    first = work.enqueue(1, "first")
    with sandbox.fault(_out(sandbox, "SendMessage", lasts=timedelta(minutes=5))):
        sandbox.run_once()
        second = work.enqueue(1, "second")
        sandbox.drain()

    assert runs == ["first", "second"]
    assert second.status().state == first.status().state == "succeeded"


@pytest.mark.parametrize("operation", ["UpdateItem", "TransactWriteItems"])
@pytest.mark.parametrize("queue", [jobs, ledger])
def test_a_success_is_recorded_while_there_is_time_and_the_task_runs_once(
    sandbox: Sandbox, queue: Queue, operation: str
) -> None:
    runs: list[int] = []

    @task(queue)
    def work() -> None:
        runs.append(1)

    handle = work.options(group="a").enqueue()
    with sandbox.fault(_out(sandbox, operation, lasts=timedelta(seconds=15))):
        sandbox.drain()

    assert runs == [1]
    assert handle.status().state == "succeeded"


def test_a_success_whose_answer_was_lost_is_no_lost_lease(sandbox: Sandbox) -> None:
    runs: list[int] = []
    lost: list[str] = []

    @task(jobs)
    def work() -> None:
        runs.append(1)

    def lose(call: Call) -> Any:
        answer = call.make()
        if call.operation == "UpdateItem" and not lost:
            lost.append(call.operation)
            raise ReadTimeoutError(endpoint_url="https://aws.example")
        return answer

    handle = work.enqueue()
    with sandbox.fault(lose):
        sandbox.drain()

    assert (runs, lost) == ([1], ["UpdateItem"])
    assert handle.status().state == "succeeded"
    assert sandbox.calls["dynamodb", "PutItem"] == 1  # the message was acknowledged: a second delivery would claim


@pytest.mark.parametrize("delivery", ["effectively_once", "at_most_once"])
def test_a_task_whose_claim_took_too_long_is_not_started_to_be_cut_off(sandbox: Sandbox, delivery: Any) -> None:
    left: list[timedelta] = []
    slow: list[str] = []

    @task(jobs, delivery=delivery, timeout=timedelta(seconds=20))
    def work() -> None:
        left.append(sandbox.now - start)

    def stall(call: Call) -> Any:
        if call.operation == "PutItem" and not slow:
            slow.append(call.operation)
            sandbox.advance(timedelta(seconds=18))
        return call.make()

    handle = work.enqueue()
    start = sandbox.now
    with sandbox.fault(stall):
        sandbox.run_once()
        assert handle.status().state == "queued"
        sandbox.drain()

    assert len(left) == 1
    assert handle.status().state == "succeeded"
    assert handle.status().attempts == 1


@pytest.mark.parametrize("queue", [jobs, quick, ledger])
@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize(
    "operations",
    [
        ("PutItem", "UpdateItem", "GetItem"),
        ("PutItem",),
        ("UpdateItem",),
        ("ChangeMessageVisibilityBatch",),
    ],
)
def test_after_an_outage_of_two_hours_everything_runs_once_within_two_minutes(
    sandbox: Sandbox, queue: Queue, count: int, operations: tuple[str, ...]
) -> None:
    runs: Counter[int] = Counter()
    lasts = timedelta(hours=2)

    @task(queue)
    def work(number: int) -> None:
        runs[number] += 1

    with sandbox.fault(_out(sandbox, *operations, lasts=lasts)):
        handles = [work.options(group=str(number)).enqueue(number) for number in range(count)]
        during = _run_for(sandbox, lasts)
        again = Counter(runs)
        _run_for(sandbox, SOON)

    assert sandbox.dead_letters(queue) == []
    assert {handle.status().state for handle in handles} == {"succeeded"}
    assert {handle.status().attempts for handle in handles} == {1}
    # The first hand-backs come quickly, later ones every 45 to 90 seconds.
    assert during <= count * (lasts / timedelta(seconds=45) + 12)
    if "UpdateItem" not in operations or "PutItem" in operations:
        assert set(runs.values()) == {1}, again


def test_a_queue_of_long_tasks_is_back_within_two_minutes_too(sandbox: Sandbox) -> None:
    """SQS allows few receives there: with each, a visibility timeout of 90 minutes may pass."""
    slow = Queue("outages-slow", timeout=timedelta(minutes=15))
    runs: list[int] = []

    @task(slow)
    def work(number: int) -> None:
        runs.append(number)

    for number in range(3):
        work.enqueue(number)
    with sandbox.fault(_out(sandbox, "PutItem", lasts=timedelta(hours=2))):
        _run_for(sandbox, timedelta(hours=2) + SOON)

    assert sorted(runs) == [0, 1, 2]
    assert sandbox.dead_letters(slow) == []


def test_a_backlog_that_an_outage_has_handed_back_often_runs_side_by_side(sandbox: Sandbox) -> None:
    at_once: list[int] = []
    running: list[int] = []

    @task(jobs)
    async def work(number: int) -> None:
        running.append(number)
        at_once.append(len(running))
        running.remove(number)

    with sandbox.fault(_out(sandbox, "PutItem", lasts=timedelta(minutes=20))):
        work.enqueue_many([{"number": number} for number in range(10)])
        _run_for(sandbox, timedelta(minutes=20) + SOON)

    # Messages that may crash their workers run one by one, and the others are acknowledged before.
    assert len(at_once) == 10
    assert sandbox.calls["sqs", "DeleteMessageBatch"] == 0
