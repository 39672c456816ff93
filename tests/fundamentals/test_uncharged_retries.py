"""A task that can't go on yet, and is not to blame: `Retry(charge=False)`."""

import json
from datetime import datetime, timedelta

import pytest

from celeriac import Backoff, Context, Queue, Retry, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.enqueue.send import Parcel, entry, send
from celeriac.model import names
from celeriac.model.failure import Failure
from celeriac.model.message import Message
from celeriac.testing import Sandbox

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

jobs = Queue("uncharged")
ledger = Queue("uncharged-ledger", fifo=True, max_receives=5)
runs: list[int] = []
"""The attempt of each run."""


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()


def the_failure(sandbox: Sandbox, queue: Queue = jobs) -> Failure:
    (letter,) = sandbox.dead_letters(queue)
    assert letter.failure is not None
    return letter.failure


@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once"])
def test_it_counts_as_no_attempt(sandbox: Sandbox, delivery: str) -> None:
    @task(jobs, delivery=delivery, retry=Backoff(attempts=2))  # type: ignore[arg-type]  # both of them are literals
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if len(runs) < 4:
            raise Retry("the bank is closed", delay=timedelta(seconds=1), charge=False)
        if ctx.attempt == 1:
            raise ConnectionError

    charge.enqueue()
    sandbox.drain()
    assert runs == [1, 1, 1, 1, 2]
    assert sandbox.dead_letters(jobs) == []


def test_without_a_delay_it_waits_as_the_attempt_would(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(base=timedelta(minutes=1), jitter=0))
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if len(runs) < 4:
            raise Retry(charge=False)

    start = sandbox.now
    charge.enqueue()
    sandbox.drain()
    assert sandbox.now - start == timedelta(minutes=3)


def test_each_of_several_long_waits_is_a_schedule_of_its_own(sandbox: Sandbox) -> None:
    @task(jobs)
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if len(runs) < 4:
            raise Retry("closed over the weekend", delay=2 * HOUR, charge=False)

    handle = charge.enqueue()
    sandbox.drain()
    assert runs == [1, 1, 1, 1]
    assert handle.status().state == "succeeded"


def test_the_wait_before_each_run_has_its_own_name_wherever_aws_would_take_a_second_for_a_copy(
    sandbox: Sandbox,
) -> None:
    @task(jobs)
    def charge() -> None: ...

    # Of a schedule that has fired, EventBridge Scheduler keeps the name for a while.
    for step in (0, 1, 2, 2):
        message = Message(id="m-1", task="charge", attempt=2, step=step)
        send(Parcel(jobs, message, delay=2 * HOUR))
    schedules = client("scheduler").list_schedules(GroupName=names.schedule_group("test"))["Schedules"]
    assert len(schedules) == 3

    sent = [Message(id="m-1", task="book", attempt=attempt, step=step) for attempt, step in ((2, 0), (2, 1), (21, 0))]
    assert [entry(Parcel(ledger, message, group="g")).deduplication for message in sent] == [
        "m-1-2",
        "m-1-2.1",
        "m-1-21",
    ]


def test_a_copy_of_a_run_that_was_not_charged_is_skipped(sandbox: Sandbox) -> None:
    @task(jobs, key="order")
    def charge(ctx: Context, order: str) -> None:
        runs.append(ctx.attempt)
        if len(runs) < 3:
            raise Retry(delay=HOUR, charge=False)

    url = sqs.url(jobs.physical_name("test"))
    handle = charge.enqueue(order="o-1")
    sandbox.run_once()
    for step in (0, 0, 1, 1):  # the first two are copies of what has run, the others of what is to run in an hour
        copy = {"v": 2, "task": "charge", "id": handle.id, "args": {"order": "o-1"}, "step": step}
        client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(copy))
    sandbox.run_once()
    assert len(runs) == 2
    sandbox.drain()
    assert len(runs) == 3


def test_it_ends_at_the_age_that_its_policy_names(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(attempts=2, give_up_after=10 * HOUR))
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise Retry("the bank is closed", delay=HOUR, charge=False)

    start = sandbox.now
    charge.enqueue()
    sandbox.drain()
    failure = the_failure(sandbox)
    assert (failure.reason, failure.message) == ("expired", "the bank is closed")
    assert 8 * HOUR < sandbox.now - start <= 10 * HOUR


@pytest.mark.parametrize("policy", [Backoff(), lambda error, attempt: HOUR])
def test_where_its_policy_names_none_it_ends_with_its_queues_retention(sandbox: Sandbox, policy: Backoff) -> None:
    @task(jobs, retry=policy)
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise Retry("the bank is closed", delay=3 * HOUR, charge=False)

    start = sandbox.now
    charge.enqueue()
    sandbox.drain()
    assert the_failure(sandbox).reason == "expired"
    assert jobs.retention - 4 * HOUR < sandbox.now - start <= jobs.retention


def test_its_log_line_says_that_it_was_not_charged(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    @task(jobs)
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if len(runs) < 3:
            raise Retry(delay=HOUR, charge=len(runs) == 2)

    charge.enqueue()
    sandbox.drain()
    lines = [(line.outcome, line.attempt, getattr(line, "charged", True)) for line in caplog.records]  # type: ignore[attr-defined]  # of the line
    assert lines == [("retried", 1, False), ("retried", 1, True), ("succeeded", 2, True)]


def test_what_was_enqueued_for_later_has_that_long_from_its_first_wait_on(sandbox: Sandbox) -> None:
    @task(jobs)
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if len(runs) < 3:
            raise Retry(delay=HOUR, charge=False)

    handle = charge.options(delay=30 * DAY).enqueue()
    sandbox.drain()
    assert handle.status().state == "succeeded"


@pytest.mark.parametrize(("written", "runs_again"), [("2999-01-01T00:00:00", True), ("1999-01-01T00:00:00", False)])
def test_a_message_cannot_claim_more_time_than_there_is(sandbox: Sandbox, written: str, runs_again: bool) -> None:  # noqa: FBT001 - a column of the table
    @task(jobs)
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise Retry(delay=HOUR, charge=False)

    start = sandbox.now
    body = {"v": 2, "task": "charge", "step": 1, "waits_since": written}
    client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name("test")), MessageBody=json.dumps(body))
    sandbox.drain()
    assert the_failure(sandbox).reason == "expired"
    assert (len(runs) > 1) is runs_again
    assert sandbox.now - start <= jobs.retention


def test_the_attempt_after_it_begins_anew(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(base=timedelta(minutes=1), jitter=0, attempts=2))
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if runs.count(ctx.attempt) < 3:
            raise Retry(delay=2 * HOUR, charge=False)
        raise ConnectionError

    charge.enqueue()
    sandbox.drain()
    assert runs == [1, 1, 1, 2, 2, 2]
    assert the_failure(sandbox).reason == "exhausted"


def test_a_redriven_letter_begins_anew(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(give_up_after=5 * HOUR))
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if is_closed:
            raise Retry(delay=HOUR, charge=False)

    is_closed = True
    handle = charge.enqueue()
    sandbox.drain()
    (letter,) = sandbox.dead_letters(jobs)
    sandbox.advance(30 * DAY)

    is_closed, before = False, len(runs)
    client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name("test")), MessageBody=letter.body)
    sandbox.drain()
    assert len(runs) == before + 1
    assert handle.status().state == "succeeded"


def test_what_runs_at_most_once_runs_once_all_the_same(sandbox: Sandbox) -> None:
    @task(jobs, delivery="at_most_once")
    def launch(ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise Retry("not yet", delay=HOUR, charge=False)

    launch.enqueue()
    sandbox.drain()
    assert runs == [1]
    assert the_failure(sandbox).reason == "exhausted"


@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once"])
def test_in_a_fifo_group_it_keeps_its_place(sandbox: Sandbox, delivery: str) -> None:
    @task(Queue("uncharged-orders", fifo=True), delivery=delivery, retry=Backoff(attempts=2))  # type: ignore[arg-type]  # both of them are literals
    def book(ctx: Context, name: str) -> None:
        booked.append((name, ctx.attempt))
        if name == "a" and len(booked) < 4:
            raise Retry(delay=timedelta(minutes=1), charge=False)
        if name == "a" and ctx.attempt == 1:
            raise ConnectionError

    booked: list[tuple[str, int]] = []
    for name in "ab":
        book.options(group="g").enqueue(name=name)
    sandbox.drain()
    assert booked == [("a", 1), ("a", 1), ("a", 1), ("a", 1), ("a", 2), ("b", 1)]


def test_in_a_fifo_queue_it_ends_before_sqs_moves_it_without_a_word(sandbox: Sandbox) -> None:
    @task(ledger, retry=Backoff(attempts=2))
    def book(ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise Retry("not yet", delay=timedelta(minutes=1), charge=False)

    book.options(group="g").enqueue()
    sandbox.drain()
    assert runs == [1] * ledger.receive_limit
    assert the_failure(sandbox, ledger).reason == "expired"


@pytest.mark.parametrize("give_up_after", [None, timedelta(days=10)])
@pytest.mark.parametrize("charged", [True, False])
def test_in_a_fifo_queue_it_ends_before_sqs_forgets_it(
    sandbox: Sandbox,
    give_up_after: timedelta | None,
    charged: bool,  # noqa: FBT001 - a column of the table
) -> None:
    short = Queue("uncharged-short", fifo=True, retention=timedelta(hours=4))

    @task(short, retry=Backoff(give_up_after=give_up_after))
    def book(ctx: Context) -> None:
        ran_at.append(sandbox.now)
        raise Retry("not yet", delay=HOUR, charge=charged)

    ran_at: list[datetime] = []
    start = sandbox.now
    book.options(group="g").enqueue()
    sandbox.drain()
    assert the_failure(sandbox, short).reason == "expired"
    assert ran_at[-1] - start < short.retention - short.timeout
