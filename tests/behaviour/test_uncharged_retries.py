"""`Retry(charge=False)`: a task can't run yet, and that is not its fault."""

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

jobs = Queue("uncharged", batch_size=10)
ledger = Queue("uncharged-ledger", fifo=True, max_receives=5, batch_size=10)
runs: list[int] = []
"""The attempt number of each run."""


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()


def the_failure(sandbox: Sandbox, queue: Queue = jobs) -> Failure:
    (letter,) = sandbox.dead_letters(queue)
    assert letter.failure is not None
    return letter.failure


@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once"])
def test_an_uncharged_retry_is_not_counted_as_an_attempt(sandbox: Sandbox, delivery: str) -> None:
    @task(jobs, delivery=delivery, retry=Backoff(attempts=2))  # type: ignore[arg-type]  # both values are literals
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


def test_an_uncharged_retry_without_a_delay_waits_for_the_backoff(sandbox: Sandbox) -> None:
    @task(jobs, retry=Backoff(base=timedelta(minutes=1), jitter=0))
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if len(runs) < 4:
            raise Retry(charge=False)

    start = sandbox.now
    charge.enqueue()
    sandbox.drain()
    assert sandbox.now - start == timedelta(minutes=3)


def test_each_long_wait_has_its_own_schedule(sandbox: Sandbox) -> None:
    @task(jobs)
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if len(runs) < 4:
            raise Retry("closed over the weekend", delay=2 * HOUR, charge=False)

    handle = charge.enqueue()
    sandbox.drain()
    assert runs == [1, 1, 1, 1]
    assert handle.status().state == "succeeded"


def test_each_wait_has_its_own_name_where_aws_drops_a_second_use_of_a_name(
    sandbox: Sandbox,
) -> None:
    @task(jobs)
    def charge() -> None: ...

    # EventBridge Scheduler keeps the name of a schedule for a while after it has fired.
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


def test_a_copy_of_an_uncharged_run_is_skipped(sandbox: Sandbox) -> None:
    @task(jobs, key="order")
    def charge(ctx: Context, order: str) -> None:
        runs.append(ctx.attempt)
        if len(runs) < 3:
            raise Retry(delay=HOUR, charge=False)

    url = sqs.url(jobs.physical_name("test"))
    handle = charge.enqueue(order="o-1")
    sandbox.run_once()
    for step in (0, 0, 1, 1):  # two copies of the run that is over, two of the run that is due in an hour
        copy = {"v": 2, "task": "charge", "id": handle.id, "args": {"order": "o-1"}, "step": step}
        client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(copy))
    sandbox.run_once()
    assert len(runs) == 2
    sandbox.drain()
    assert len(runs) == 3


def test_uncharged_retries_end_at_the_age_that_the_policy_names(sandbox: Sandbox) -> None:
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
def test_uncharged_retries_without_an_age_limit_end_at_the_queues_retention(sandbox: Sandbox, policy: Backoff) -> None:
    @task(jobs, retry=policy)
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise Retry("the bank is closed", delay=3 * HOUR, charge=False)

    start = sandbox.now
    charge.enqueue()
    sandbox.drain()
    assert the_failure(sandbox).reason == "expired"
    assert jobs.retention - 4 * HOUR < sandbox.now - start <= jobs.retention


def test_the_log_line_of_an_uncharged_retry_says_so(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    @task(jobs)
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if len(runs) < 3:
            raise Retry(delay=HOUR, charge=len(runs) == 2)

    charge.enqueue()
    sandbox.drain()
    lines = [(line.outcome, line.attempt, getattr(line, "charged", True)) for line in caplog.records]  # type: ignore[attr-defined]  # the log line's own fields
    assert lines == [("retried", 1, False), ("retried", 1, True), ("succeeded", 2, True)]


def test_the_age_of_a_delayed_task_is_counted_from_its_first_uncharged_retry(sandbox: Sandbox) -> None:
    @task(jobs)
    def charge(ctx: Context) -> None:
        runs.append(ctx.attempt)
        if len(runs) < 3:
            raise Retry(delay=HOUR, charge=False)

    handle = charge.options(delay=30 * DAY).enqueue()
    sandbox.drain()
    assert handle.status().state == "succeeded"


@pytest.mark.parametrize(("written", "runs_again"), [("2999-01-01T00:00:00", True), ("1999-01-01T00:00:00", False)])
def test_a_message_cannot_extend_its_time_with_a_false_date(sandbox: Sandbox, written: str, runs_again: bool) -> None:  # noqa: FBT001 - a parametrized value
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
    assert sandbox.now - start <= jobs.retention + timedelta(minutes=1)  # a schedule is a second late


def test_each_attempt_may_have_uncharged_retries(sandbox: Sandbox) -> None:
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


def test_the_age_of_a_redriven_letter_is_counted_anew(sandbox: Sandbox) -> None:
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


def test_an_uncharged_retry_of_an_at_most_once_task_is_a_dead_letter(sandbox: Sandbox) -> None:
    @task(jobs, delivery="at_most_once")
    def launch(ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise Retry("not yet", delay=HOUR, charge=False)

    launch.enqueue()
    sandbox.drain()
    assert runs == [1]
    assert the_failure(sandbox).reason == "exhausted"


@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once"])
def test_an_uncharged_retry_keeps_its_place_in_a_fifo_group(sandbox: Sandbox, delivery: str) -> None:
    @task(Queue("uncharged-orders", fifo=True, batch_size=10), delivery=delivery, retry=Backoff(attempts=2))  # type: ignore[arg-type]  # both values are literals
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


def test_uncharged_retries_on_a_fifo_queue_end_before_sqs_moves_the_message(sandbox: Sandbox) -> None:
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
def test_retries_on_a_fifo_queue_end_before_sqs_deletes_the_message(
    sandbox: Sandbox,
    give_up_after: timedelta | None,
    charged: bool,  # noqa: FBT001 - a parametrized value
) -> None:
    short = Queue(
        "uncharged-short", fifo=True, retention=timedelta(hours=4), patience=timedelta(hours=1), batch_size=10
    )

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
