"""A message that kills its worker before its task is claimed is known by a note, and ends after a handful of deaths."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, task
from celeriac.testing import Call, Sandbox, WorkerDied

jobs = Queue("visits", batch_size=10, concurrency=4)
# SQS would move a message after five receives.
hasty = Queue("visits-hasty", batch_size=10, concurrency=4, max_receives=5)
ledger = Queue("visits-ledger", fifo=True, batch_size=10)
HANDFUL = 6


@dataclass
class Amount:
    cents: int

    def __post_init__(self) -> None:
        if self.cents < 0:
            deaths[self.cents] += 1
            raise WorkerDied


deaths: Counter[int] = Counter()


@pytest.fixture(autouse=True)
def _no_deaths() -> None:
    deaths.clear()


@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once", "at_most_once"])
@pytest.mark.parametrize("queue", [jobs, hasty, ledger])
def test_a_validator_that_kills_its_worker_ends_as_a_dead_letter_and_the_others_run(
    sandbox: Sandbox, queue: Queue, delivery: Any
) -> None:
    runs: Counter[int] = Counter()

    @task(queue, delivery=delivery)
    def charge(amount: Amount) -> None:
        runs[amount.cents] += 1

    for cents in (1, -1, 2, 3, -2, 4, 5):
        sandbox.send(queue, {"task": "charge", "args": {"amount": {"cents": cents}}}, group=str(cents))
    sandbox.drain()

    reasons = Counter(letter.failure.reason for letter in sandbox.dead_letters(queue) if letter.failure)
    assert reasons["worker lost"] == 2
    assert max(deaths.values()) <= HANDFUL
    if delivery == "at_most_once":
        # A worker that dies leaves open whether its other tasks were done: they don't run again.
        assert len(runs) + reasons["interrupted"] >= 5
        assert reasons.total() == 2 + reasons["interrupted"]
    else:
        assert reasons.total() == 2
        assert set(runs) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    "name", ["Celeriac.FirstSentAt", "first_sent_at", "failure", "more_attributes", "Celeriac.Deaths"]
)
@pytest.mark.parametrize("value", ["2026-01-01T00:00:00+00:00", "x", "{}"])
def test_no_attribute_lets_a_body_be_read_before_its_visit(sandbox: Sandbox, name: str, value: str) -> None:
    ran: list[int] = []

    @task(jobs)
    def count(number: int) -> None:
        ran.append(number)

    reads: list[str] = []

    def kills(body: str) -> bool:
        reads.extend(["read"] if "-666}" in body else [])
        return "-666}" in body

    sandbox.send(jobs, '{"task": "count", "args": {"number": -666}}', attributes={name: value})
    for number in range(9):
        count.enqueue(number)
    with sandbox.crash_when(kills):
        sandbox.drain()
    assert sorted(ran) == list(range(9))
    assert len(reads) <= HANDFUL
    assert [letter.failure and letter.failure.reason for letter in sandbox.dead_letters(jobs)] == ["worker lost"]


def test_a_payload_that_kills_its_worker_ends_as_a_dead_letter(sandbox: Sandbox) -> None:
    reads: list[str] = []

    @task(jobs)
    def store(text: str) -> None: ...

    def kill(call: Call) -> Any:
        if call.operation == "GetObject":
            reads.append(call.operation)
            raise WorkerDied
        return call.make()

    handle = store.enqueue("x" * 300_000)
    with sandbox.fault(kill):
        sandbox.drain()

    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.reason == "worker lost"
    assert len(reads) <= HANDFUL
    assert handle.status().state == "dead"


def test_messages_that_killed_nobody_run_side_by_side_after_they_came_back_often(sandbox: Sandbox) -> None:
    runs: list[int] = []
    deletes: list[int] = []

    @task(jobs, timeout=timedelta(seconds=20))
    def work(number: int) -> None:
        runs.append(number)
        deletes.append(sandbox.calls["sqs", "DeleteMessageBatch"])

    def give_back(call: Call) -> Any:
        if call.operation == "PutItem" and sandbox.now < end:
            raise TimeoutError
        return call.make()

    end = sandbox.now + timedelta(minutes=15)
    for number in range(4):
        work.enqueue(number)
    with sandbox.fault(give_back):
        sandbox.drain()
    assert sorted(runs) == [0, 1, 2, 3]
    # One that runs alone begins when those before it are deleted.
    assert deletes == [0, 0, 0, 0]


def test_a_message_at_its_first_receive_gets_no_note(sandbox: Sandbox) -> None:
    @task(jobs)
    def work() -> None: ...

    work.enqueue()
    sandbox.drain()
    assert (sandbox.calls["dynamodb", "PutItem"], sandbox.calls["dynamodb", "UpdateItem"]) == (1, 1)


@dataclass
class Waiting:
    """A value whose validator doesn't end while `release` is not set."""

    number: int

    def __post_init__(self) -> None:
        release.wait(10)


release = Event()
# The shortest queue: its worker gives up after 0.9 s of real time.
brief = Queue("visits-brief", timeout=timedelta(seconds=1), batch_size=2, concurrency=2)
# Two queues for which a busy machine is fast enough.
short = Queue("visits-short", timeout=timedelta(seconds=3))
short_ledger = Queue("visits-short-ledger", timeout=timedelta(seconds=3), fifo=True)


@pytest.fixture
def _hang() -> Iterator[None]:
    release.clear()
    yield
    release.set()


@pytest.mark.usefixtures("_hang")
@pytest.mark.parametrize("delivery", ["effectively_once", "at_most_once"])
def test_a_validator_that_hangs_is_cut_off_and_its_neighbour_runs(sandbox: Sandbox, delivery: Any) -> None:
    done: list[str] = []

    @task(brief, delivery=delivery, retry=None if delivery == "at_most_once" else Backoff(attempts=1))
    def weigh(load: Waiting) -> None:
        done.append("weighed")

    @task(brief)
    def other() -> None:
        done.append("other")

    sandbox.send(brief, {"task": "weigh", "args": {"load": {"number": 1}}})
    other.enqueue()
    sandbox.run_once()

    (letter,) = sandbox.dead_letters(brief)
    assert letter.failure is not None
    assert letter.failure.reason == "exhausted"
    assert "reading its arguments was not over" in letter.failure.message
    assert done == ["other"]


@pytest.mark.usefixtures("_hang")
@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once"])
@pytest.mark.parametrize("queue", [short, short_ledger])
def test_a_validator_that_always_hangs_has_as_many_attempts_as_its_task(
    sandbox: Sandbox, queue: Queue, delivery: Any
) -> None:
    """On a FIFO queue the same message is retried, and the record that counts is one of the message, not of a key."""

    @task(queue, delivery=delivery, retry=Backoff(attempts=2, base=timedelta(minutes=1)))
    def weigh(load: Waiting) -> None: ...

    tried: list[int] = []

    def count(call: Call) -> Any:
        tried.extend([1] if call.operation in {"SendMessage", "ChangeMessageVisibilityBatch"} else [])
        return call.make()

    sandbox.send(queue, {"task": "weigh", "args": {"load": {"number": 1}}}, group="a")
    with sandbox.fault(count):
        sandbox.drain()
    (letter,) = sandbox.dead_letters(queue)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.attempts, len(tried)) == ("exhausted", 2, 2)


@pytest.mark.usefixtures("_hang")
def test_a_bucket_that_does_not_answer_in_time_costs_no_attempt(sandbox: Sandbox) -> None:
    ran: list[int] = []

    @task(brief, retry=Backoff(attempts=1))
    def store(ctx: Context, text: str) -> None:
        ran.append(ctx.attempt)

    def hang(call: Call) -> Any:
        if call.operation == "GetObject":
            release.wait(10)
        return call.make()

    handle = store.enqueue("x" * 300_000)
    with sandbox.fault(hang):
        sandbox.run_once()
    assert (ran, sandbox.dead_letters(brief)) == ([], [])
    release.set()
    sandbox.drain()
    assert ran == [1]
    assert handle.status().state == "succeeded"
