"""What a test can let go wrong in its sandbox: outages, slow calls, copies, deaths, wrong clocks, two releases."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

import celeriac
from celeriac import Backoff, Context, Queue, task
from celeriac.aws import pause, sqs
from celeriac.aws.client import client
from celeriac.testing import Call, Sandbox, WorkerDied, die, die_before
from celeriac.testing.account import lying_in
from celeriac.testing.disturbances import THROTTLES
from tests.application import tables

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
jobs = Queue("unkind", timeout=30 * SECOND)
mails = Queue("unkind-mails")
ledger = Queue("unkind-ledger", fifo=True)
ran: list[str] = []
dying: set[str] = set()


@dataclass
class Parcel:
    """An argument with a validator of the user's."""

    name: str

    def __post_init__(self) -> None:
        if self.name in dying:
            dying.discard(self.name)
            die()


@task(jobs, retry=Backoff(base=MINUTE, jitter=0, attempts=3))
def note(name: str) -> None:
    ran.append(name)


@task(mails)
def mail(name: str) -> None:
    ran.append(f"mail {name}")


@task(ledger)
def book(name: str) -> None:
    ran.append(name)


@task(jobs)
def unpack(parcel: Parcel) -> None:
    ran.append(parcel.name)


@task(jobs)
def put(ctx: Context, table: str) -> None:
    with ctx.transaction() as tx:
        tx.put(table, {"pk": "a"})
    ran.append(table)


@task(jobs, on="unkind.event", name="hear")
def hear(name: str) -> None:
    ran.append(f"heard {name}")


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    yield
    ran.clear()
    dying.clear()


def _refused(sandbox: Sandbox, call: Any) -> ClientError:
    with sandbox.worker(), pytest.raises(ClientError) as refused:
        call()
    return refused.value


CALLS: dict[str, Any] = {
    "dynamodb": lambda: client("dynamodb").get_item(TableName="celeriac-test--orders", Key={"pk": {"S": "a"}}),
    "events": lambda: client("events").put_events(Entries=[]),
    "s3": lambda: client("s3").list_buckets(),
    "scheduler": lambda: client("scheduler").list_schedules(),
    "sqs": lambda: client("sqs").list_queues(),
}


@pytest.mark.parametrize("service", CALLS)
def test_a_service_in_an_outage_refuses_workers_as_it_throttles_them(sandbox: Sandbox, service: str) -> None:
    outage = sandbox.outage(service)
    error = _refused(sandbox, CALLS[service])
    assert (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]) == THROTTLES[service]
    assert "(reached max retries: 3)" in str(error)
    assert outage.struck == 1
    CALLS["dynamodb" if service != "dynamodb" else "sqs"]()  # another service, and no worker


def test_the_calls_of_the_test_itself_meet_no_outage(sandbox: Sandbox) -> None:
    sandbox.outage("sqs")
    note.enqueue("a")


def test_an_outage_may_have_another_code(sandbox: Sandbox) -> None:
    sandbox.outage("sqs", code="InternalError")
    error = _refused(sandbox, CALLS["sqs"]).response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("InternalError", 500)


def test_an_outage_ends_with_its_time(sandbox: Sandbox) -> None:
    note.enqueue("a")
    start = sandbox.now
    outage = sandbox.outage("dynamodb", for_=10 * MINUTE)
    sandbox.drain()
    assert ran == ["a"]
    assert 10 * MINUTE <= sandbox.now - start < HOUR
    assert outage.struck > 1
    assert not outage.lasts


def test_an_outage_ends_with_its_block(sandbox: Sandbox) -> None:
    note.enqueue("a")
    with sandbox.outage("dynamodb"):
        sandbox.run_once()
        assert ran == []
    sandbox.drain()
    assert ran == ["a"]


def test_an_outage_of_one_operation_leaves_the_others(sandbox: Sandbox) -> None:
    sandbox.outage("sqs", "SendMessage", queue=jobs)
    with sandbox.worker():
        CALLS["sqs"]()
        mail.enqueue("a")
    _refused(sandbox, lambda: note.enqueue("a"))


def test_an_outage_of_one_queue_meets_its_schedules_and_not_its_dead_letter_queue(sandbox: Sandbox) -> None:
    sandbox.outage("sqs", queue=jobs)
    sandbox.outage("scheduler", queue=jobs)
    with sandbox.worker():
        sqs.send(jobs.dead_letter_name("test"), sqs.Entry("a"))
        mail.options(delay=HOUR).enqueue("a")
    _refused(sandbox, lambda: note.options(delay=HOUR).enqueue("a"))


@pytest.mark.parametrize("table", ["orders", tables.orders])
def test_an_outage_of_one_table_meets_transactions_that_touch_it(sandbox: Sandbox, table: Any) -> None:
    put.enqueue("orders")
    put.enqueue("payments")
    with sandbox.outage("dynamodb", table=table):
        sandbox.run_once()
    assert ran == ["payments"]


def test_celeriacs_own_tables_have_outages_too(sandbox: Sandbox) -> None:
    note.enqueue("a")
    with sandbox.outage("dynamodb", table="idempotency"):
        sandbox.run_once()
    assert ran == []


def test_the_sweeper_goes_on_after_an_outage_of_hours(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.emit("unkind.event", {"name": "a"}, aggregate="a")
    sandbox.outage("sqs", for_=2 * HOUR)
    sandbox.drain()
    assert ran == ["heard a"]


def test_a_slow_call_takes_virtual_time(sandbox: Sandbox) -> None:
    start = sandbox.now
    with sandbox.slow("sqs", "SendMessage", by=3 * SECOND) as slow, sandbox.worker():
        note.enqueue("a")
    assert (sandbox.now - start, slow.struck) == (3 * SECOND, 1)


def test_a_worker_that_waits_beyond_its_deadline_is_killed(sandbox: Sandbox) -> None:
    note.enqueue("a")
    with sandbox.slow("dynamodb", "PutItem", by=jobs.timeout):
        sandbox.run_once()
    assert ran == []  # the claim was written, and its worker did not live to read the answer
    assert sandbox.items("idempotency")


def test_a_task_that_takes_longer_than_its_worker_has_is_killed(sandbox: Sandbox) -> None:
    took: list[timedelta] = [jobs.timeout, SECOND]

    @task(jobs)
    def work() -> None:
        ran.append("work")
        sandbox.advance(took.pop(0))

    handle = work.enqueue()
    sandbox.run_once()
    assert handle.status().state == "retrying"
    sandbox.drain()
    assert ran == ["work", "work"]
    assert handle.status().state == "succeeded"


def test_an_answer_after_the_deadline_does_not_count(sandbox: Sandbox) -> None:
    @task(jobs, delivery="at_least_once", retry=Backoff(attempts=1))
    def work() -> None:  # makes no AWS call
        ran.append("work")
        sandbox.advance(jobs.timeout if len(ran) == 1 else SECOND)

    work.enqueue()
    sandbox.drain()
    assert ran == ["work", "work"]


def test_a_frozen_worker_wakes_up_after_its_deadline(sandbox: Sandbox) -> None:
    seen: list[str] = []

    @task(jobs, key="name")
    def work(ctx: Context, name: str) -> None:
        seen.append("begins")
        if len(seen) == 1:
            sandbox.freeze(jobs.visibility + SECOND)
            sandbox.run_once()
            seen.append("wakes up")
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": f"{name} {len(seen)}"})

    work.enqueue("a")
    sandbox.drain()
    assert seen == ["begins", "begins", "wakes up"]
    assert [item["pk"] for item in sandbox.items("orders")] == ["a 2"]  # the other worker's


def test_a_share_of_a_batch_is_refused(sandbox: Sandbox) -> None:
    entries: Any = [{"Id": str(i), "MessageBody": "{}"} for i in range(10)]

    def send() -> Any:
        return client("sqs").send_message_batch(QueueUrl=sqs.url(mails.physical_name("test")), Entries=entries)

    with sandbox.partial_failures(0.5, seed=7), sandbox.worker():
        answer = send()
    refused = {one["Id"] for one in answer["Failed"]}
    assert 0 < len(refused) < 10
    assert {one["Id"] for one in answer["Successful"]} == {str(i) for i in range(10)} - refused
    assert {(one["Code"], one["SenderFault"]) for one in answer["Failed"]} == {("InternalError", False)}
    assert len(lying_in(sqs.url(mails.physical_name("test")))) == 10 - len(refused)
    with sandbox.partial_failures(0.5, seed=7), sandbox.worker():
        assert {one["Id"] for one in send()["Failed"]} == refused  # the same seed, the same entries
    with sandbox.partial_failures(1), sandbox.worker():
        assert len(send()["Failed"]) == 10


def test_each_batch_call_may_be_taken_in_part(sandbox: Sandbox) -> None:
    url = sqs.url(mails.physical_name("test"))
    for name in "abc":
        mail.enqueue(name)
    received = client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    entries: Any = [{"Id": str(i), "ReceiptHandle": one["ReceiptHandle"]} for i, one in enumerate(received)]
    hidden: Any = [entry | {"VisibilityTimeout": 60} for entry in entries]
    with sandbox.partial_failures(1) as refusals, sandbox.worker():
        assert len(client("sqs").delete_message_batch(QueueUrl=url, Entries=entries)["Failed"]) == 3
        assert len(client("sqs").change_message_visibility_batch(QueueUrl=url, Entries=hidden)["Failed"]) == 3
    assert refusals.struck == 2
    assert len(lying_in(url)) == 3


def test_a_share_of_the_messages_is_delivered_twice(sandbox: Sandbox) -> None:
    @task(jobs, delivery="at_least_once")
    def count(number: int) -> None:
        ran.append(str(number))

    sandbox.deliver(duplicates=0.3, seed=7)
    count.enqueue_many({"number": i} for i in range(50))
    sandbox.drain()
    times = Counter(ran)
    assert len(times) == 50
    assert set(times.values()) == {1, 2}
    assert 5 < Counter(times.values())[2] < 25


def test_every_message_may_be_delivered_twice_and_effectively_once_runs_once(sandbox: Sandbox) -> None:
    sandbox.deliver(duplicates=1)
    for name in "abc":
        note.enqueue(name)
    sandbox.drain()
    assert ran == ["a", "b", "c"]


def test_a_standard_queue_delivers_in_any_order(sandbox: Sandbox) -> None:
    names = [str(number) for number in range(30)]
    sandbox.deliver(reorders=True, seed=7)
    for name in names:
        note.enqueue(name)
        book.options(group="g").enqueue(name)
    sandbox.drain()
    of_jobs = [name for i, name in enumerate(ran) if ran.index(name) == i]
    assert Counter(ran) == dict.fromkeys(names, 2)
    assert of_jobs != names


def test_a_fifo_queue_delivers_once_and_in_order(sandbox: Sandbox) -> None:
    sandbox.deliver(duplicates=1, reorders=True, seed=7)
    for name in "abcdefgh":
        book.options(group="g").enqueue(name)
    sandbox.drain()
    assert ran == list("abcdefgh")


def test_a_share_is_from_nothing_to_all(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        sandbox.deliver(duplicates=10)


def test_a_worker_can_die_before_its_first_call(sandbox: Sandbox) -> None:
    note.enqueue("a")
    sandbox.crash_at(0)
    calls = sandbox.calls.copy()
    sandbox.run_once()
    assert (ran, sandbox.calls) == ([], calls)
    sandbox.drain()
    assert ran == ["a"]


def test_a_worker_can_die_while_it_reads_a_message(sandbox: Sandbox) -> None:
    note.enqueue("a")
    calls = sandbox.calls.copy()
    with sandbox.crash_when(lambda body: '"a"' in body):
        sandbox.run_once()
        assert (ran, sandbox.calls) == ([], calls)
    sandbox.drain()
    assert ran == ["a"]


def test_a_worker_can_die_in_a_validator(sandbox: Sandbox) -> None:
    dying.add("a")
    unpack_it = {"task": "unpack", "args": {"parcel": {"name": "a"}}}
    sandbox.send(jobs, unpack_it)
    sandbox.run_once()
    assert (ran, dying) == ([], set())
    sandbox.drain()
    assert ran == ["a"]


def test_a_dead_worker_makes_no_call_in_any_thread(sandbox: Sandbox) -> None:
    with pytest.raises(WorkerDied), sandbox.worker():
        with pytest.raises(WorkerDied):
            die()
        note.enqueue("a")
    sandbox.drain()
    assert ran == []


def test_a_producers_clock_can_be_wrong_while_awss_is_right(sandbox: Sandbox) -> None:
    seen: list[Call] = []

    def look(call: Call) -> Any:
        seen.append(call)
        return call.make()

    start = sandbox.now
    with sandbox.producer(clock=-10 * MINUTE), sandbox.fault(look), sandbox.worker():
        note.enqueue("a")
        assert sandbox.now == start
    (call,) = seen
    assert "2025-12-31T23:50:00" in call.arguments["MessageBody"]
    (message,) = lying_in(sqs.url(jobs.physical_name("test")))
    assert int(message["Attributes"]["SentTimestamp"]) == start.timestamp() * 1000
    assert sandbox.now == start
    sandbox.drain()
    assert ran == ["a"]


def test_workers_clocks_are_right_while_a_producers_is_wrong(sandbox: Sandbox) -> None:
    seen: list[timedelta] = []
    start = sandbox.now

    @task(jobs)
    def look(ctx: Context) -> None:
        seen.append(sandbox.now - start)
        seen.append(ctx.remaining)

    with sandbox.producer(clock=HOUR):
        look.options(delay=5 * MINUTE).enqueue()
        sandbox.drain()
    assert seen == [5 * MINUTE, jobs.timeout]


def test_two_releases_run_in_turn_during_a_rollout(sandbox: Sandbox) -> None:
    @task(jobs, delivery="at_least_once", name="versioned")
    def old(number: int) -> None:
        ran.append("old")

    @task(jobs, delivery="at_least_once", name="versioned")
    def new(number: int) -> None:
        ran.append("new")

    with sandbox.rollout(old=[old]):
        for number in range(4):
            new.enqueue(number)
            sandbox.run_once()
    new.enqueue(4)
    sandbox.drain()
    assert ran == ["old", "new", "old", "new", "new"]


def test_the_old_release_knows_neither_new_tasks_nor_their_subscriptions(sandbox: Sandbox) -> None:
    seen: list[set[str]] = []

    @task(jobs, delivery="at_least_once")
    def known() -> None:
        seen.append(set(celeriac_tasks()))

    @task(mails, name="on_new_queue", delivery="at_least_once")
    def on_new_queue() -> None:
        seen.append(set(celeriac_tasks()))

    with sandbox.rollout(old=[known], new=[known, hear, on_new_queue]):
        for _ in range(2):
            known.enqueue()
            sandbox.run_once()
        on_new_queue.enqueue()  # the old release has no consumer of this queue
        sandbox.run_once()
    assert seen == [{"known"}, {"known", "hear", "on_new_queue"}, {"known", "hear", "on_new_queue"}]


def celeriac_tasks() -> list[str]:
    return list(celeriac.declare.registry.tasks)


def test_a_disturbance_and_a_hook_go_together(sandbox: Sandbox) -> None:
    note.enqueue("a")
    with sandbox.fault(die_before), sandbox.outage("dynamodb") as outage:
        sandbox.run_once()
    assert outage.struck == 0  # the worker died before its call got there


def test_a_hook_in_a_hooks_block_makes_its_calls_through_it(sandbox: Sandbox) -> None:
    seen: list[str] = []

    def outer(call: Call) -> Any:
        seen.append("outer")
        return call.make()

    def inner(call: Call) -> Any:
        seen.append("inner")
        return call.make()

    with sandbox.fault(outer), sandbox.fault(inner), sandbox.worker():
        note.enqueue(name="a")
    assert seen == ["inner", "outer"]


def test_a_hook_can_have_one_call(sandbox: Sandbox) -> None:
    """Here the call after the next one: two messages of three are sent."""

    def refuse(_: Call) -> Any:
        raise ConnectionError

    sandbox.fault_at(2, refuse)
    sent = 0
    with sandbox.worker():
        for name in "abc":
            with suppress(ConnectionError):
                note.enqueue(name=name)
                sent += 1
    assert sent == 2
    with pytest.raises(ValueError, match="the first call is 1"):
        sandbox.fault_at(0, refuse)


def test_each_try_of_a_call_that_is_given_up_is_carried_out(sandbox: Sandbox) -> None:
    with sandbox.slow("sqs", "SendMessage", by=timedelta(hours=1)), sandbox.worker(), suppress(ReadTimeoutError):
        client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name("test")), MessageBody="{}")
    config: Any = client("sqs").meta.config
    tries = config.retries["total_max_attempts"]
    assert tries > 1
    assert len(lying_in(sqs.url(jobs.physical_name("test")))) == tries


def test_the_waits_of_a_workers_threads_overlap(sandbox: Sandbox) -> None:
    """Three threads wait five times each. Their first waits add up, because no thread has told its time before."""
    together = Barrier(3)

    def wait_often() -> None:
        for _ in range(5):
            pause.wait(10)
            together.wait()

    before = sandbox.now
    with sandbox.worker():
        threads = [Thread(target=wait_often) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sandbox.now - before == timedelta(seconds=30 + 4 * 10)
