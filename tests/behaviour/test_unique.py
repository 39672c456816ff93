"""`Unique`: of equal messages one waits or runs, and nobody is told so in vain."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

import celeriac
from celeriac import Backoff, PartialFailureError, Queue, Rate, Reject, Unique, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.declare.task import Task
from celeriac.flow import rows, unique
from celeriac.testing import Call, Sandbox, die

imports = Queue("imports", timeout=timedelta(minutes=1))
ordered = Queue("ordered", fifo=True, timeout=timedelta(minutes=1))
SOON = Backoff(base=timedelta(minutes=1), jitter=0, attempts=3)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

ran: list[tuple[str, int]] = []
fails: set[int] = set()
meanwhile: dict[int, Any] = {}


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    fails.clear()
    meanwhile.clear()


def _run(tenant: str, number: int) -> None:
    ran.append((tenant, number))
    if number in meanwhile:
        meanwhile.pop(number)()
    if number in fails:
        raise ValueError(number)


@task(imports, unique=Unique(by="tenant"), retry=SOON)
def load(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(imports, unique=Unique(by="tenant", until="started"), retry=SOON)
def refresh(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(imports, unique=Unique(by="tenant", until="started", on_conflict="replace"), retry=SOON)
def publish(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(imports, unique=Unique(by="tenant", until=timedelta(hours=1)), retry=SOON)
def remind(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(imports, unique=Unique(by="tenant"), delivery="at_least_once", retry=SOON)
def touch(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(imports, unique=Unique(by="tenant"), delivery="at_most_once")
def charge(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(imports, unique=Unique(by="tenant"), key="number", retry=SOON)
def keyed(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(ordered, unique=Unique(by="tenant"), retry=SOON)
def step(tenant: str, number: int) -> None:
    _run(tenant, number)


slow = Rate("slow", 1, per=timedelta(minutes=10), burst=1)


@task(imports, unique=Unique(by="tenant"), limits=[slow], retry=SOON)
def limited(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(imports, unique=Unique(by="tenant"), on="tenant.changed", retry=SOON)
def follow(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(imports, unique=Unique(by="tenant"), cron="rate(5 minutes)", retry=SOON)
def sweep(tenant: str = "all", number: int = 0) -> None:
    _run(tenant, number)


KINDS = [load, touch, charge]


def redrive(sandbox: Sandbox, queue: Queue) -> None:
    """Move the single dead letter of a queue back, as AWS's console does."""
    dead = sqs.url(queue.dead_letter_name("test"))
    (letter,) = client("sqs").receive_message(QueueUrl=dead)["Messages"]
    client("sqs").delete_message(QueueUrl=dead, ReceiptHandle=letter["ReceiptHandle"])
    sandbox.send(queue, letter["Body"], group="g" if queue.fifo else None)


def holder(of: Task[..., Any, Any], tenant: str = "a") -> str | None:
    """The id of the message that holds an item."""
    found = unique.holder_of(
        rows.read(rows.of_unique(of.queue.name, of.name, of.text_of(["tenant"], {"tenant": tenant})))
    )
    return found.id if found is not None else None


@contextmanager
def no_takes(error: Exception | None = None) -> Iterator[None]:
    """Producers die, or get an error, before they take an item."""

    class Died(BaseException):
        pass

    def refuse(*_: object, **__: object) -> Any:
        raise error or Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unique, "take_sent", refuse)
        with suppress(Died):
            yield


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_second_message_is_a_duplicate_until_the_first_has_ended(kind: Any, sandbox: Sandbox) -> None:
    first = kind.enqueue(tenant="a", number=1)
    second = kind.enqueue(tenant="a", number=2)
    other = kind.enqueue(tenant="b", number=3)
    assert (first.duplicate, second.duplicate, other.duplicate) == (False, True, False)
    assert second == first
    meanwhile[1] = lambda: told.append(kind.enqueue(tenant="a", number=4))
    told: list[Any] = []
    sandbox.drain()
    assert [handle.duplicate for handle in told] == [True]
    assert ran == [("a", 1), ("b", 3)]
    assert holder(kind) is None
    assert not kind.enqueue(tenant="a", number=5).duplicate
    sandbox.drain()
    assert ran[2:] == [("a", 5)]


def test_a_duplicate_sends_nothing(sandbox: Sandbox) -> None:
    load.enqueue(tenant="a", number=1)
    before = sandbox.calls.copy()
    load.enqueue(tenant="a", number=2)
    assert sandbox.calls - before == {("dynamodb", "GetItem"): 2}


def test_the_calls_of_a_task_are_two_writes_and_two_reads_more(sandbox: Sandbox) -> None:
    load.enqueue(tenant="a", number=1)
    assert sandbox.calls["dynamodb", "GetItem"] == 1
    assert sandbox.calls["dynamodb", "UpdateItem"] == 1
    sandbox.drain()
    assert sandbox.calls["dynamodb", "GetItem"] == 2
    assert sandbox.calls["dynamodb", "PutItem"] == 1  # the claim
    assert sandbox.calls["dynamodb", "UpdateItem"] == 3  # the record's success, and the item freed


@pytest.mark.parametrize("kind", [load, touch], ids=lambda kind: kind.name)
def test_a_retry_holds_the_item_and_a_dead_letter_frees_it(kind: Any, sandbox: Sandbox) -> None:
    fails.add(1)
    first = kind.enqueue(tenant="a", number=1)
    sandbox.run_once()
    assert kind.enqueue(tenant="a", number=2).id == first.id
    sandbox.advance(MINUTE)
    sandbox.run_once()
    assert kind.enqueue(tenant="a", number=3).id == first.id
    sandbox.drain()
    assert ran == [("a", 1)] * 3
    assert [letter.id for letter in sandbox.dead_letters(imports)] == [first.id]
    assert not kind.enqueue(tenant="a", number=4).duplicate


def test_a_retry_extends_the_time_that_it_holds_the_item(sandbox: Sandbox) -> None:
    fails.add(1)

    @task(imports, unique=Unique(by="tenant"), retry=Backoff(base=timedelta(days=30), cap=timedelta(days=60), jitter=0))
    def rare(tenant: str, number: int) -> None:
        _run(tenant, number)

    rare.enqueue(tenant="a", number=1)
    sandbox.run_once()
    sandbox.advance(timedelta(days=29))
    assert rare.enqueue(tenant="a", number=2).duplicate


def test_a_delayed_message_holds_its_item_from_the_enqueue_on(sandbox: Sandbox) -> None:
    first = load.options(delay=timedelta(days=200)).enqueue(tenant="a", number=1)
    sandbox.advance(timedelta(days=199))
    second = load.enqueue(tenant="a", number=2)
    assert second == first
    assert second.status().state == "queued"
    sandbox.drain()
    assert ran == [("a", 1)]


def test_a_cancelled_message_holds_nothing(sandbox: Sandbox) -> None:
    first = load.options(delay=timedelta(days=200)).enqueue(tenant="a", number=1)
    assert first.cancel("not this one")
    assert not load.enqueue(tenant="a", number=2).duplicate
    sandbox.drain()
    assert ran == [("a", 2)]


def test_what_is_never_run_frees_its_item_as_a_dead_letter(sandbox: Sandbox) -> None:
    quarantine.add(quarantine.of_task("load"))
    sandbox.advance(2 * MINUTE)
    load.enqueue(tenant="a", number=1)
    sandbox.drain()
    assert len(sandbox.dead_letters(imports)) == 1
    assert holder(load) is None
    quarantine.lift(quarantine.of_task("load"))


def test_a_rejected_task_frees_its_item(sandbox: Sandbox) -> None:
    @task(imports, unique=Unique(by="tenant"))
    def refuse(tenant: str) -> None:
        raise Reject("no")

    refuse.enqueue(tenant="a")
    sandbox.drain()
    assert holder(refuse) is None


def test_a_redriven_letter_waits_for_the_one_that_runs(sandbox: Sandbox) -> None:
    fails.add(1)
    first = load.enqueue(tenant="a", number=1)
    sandbox.drain()
    fails.clear()
    load.options(delay=timedelta(minutes=30)).enqueue(tenant="a", number=2)
    redrive(sandbox, imports)
    sandbox.run_once()
    assert ran == [("a", 1)] * 3
    sandbox.drain()
    assert ran[3:] == [("a", 2), ("a", 1)]
    assert first.status().state == "succeeded"
    assert holder(load) is None


def test_until_started_others_may_wait_while_it_runs(sandbox: Sandbox) -> None:
    first = refresh.enqueue(tenant="a", number=1)
    assert refresh.enqueue(tenant="a", number=2) == first
    told: list[Any] = []
    meanwhile[1] = lambda: told.extend(refresh.enqueue(tenant="a", number=number) for number in (3, 4))
    sandbox.drain()
    assert [handle.duplicate for handle in told] == [False, True]
    assert ran == [("a", 1), ("a", 3)]


def test_the_last_message_replaces_the_one_that_waits(sandbox: Sandbox) -> None:
    handles = [publish.enqueue(tenant="a", number=number) for number in (1, 2, 3)]
    assert [handle.duplicate for handle in handles] == [False] * 3
    sandbox.drain()
    assert ran == [("a", 3)]


def test_a_redriven_letter_replaces_no_later_message(sandbox: Sandbox) -> None:
    fails.add(1)
    publish.enqueue(tenant="a", number=1)
    sandbox.drain()
    fails.clear()
    publish.options(delay=timedelta(minutes=10)).enqueue(tenant="a", number=2)
    redrive(sandbox, imports)
    sandbox.drain()
    assert ran[3:] == [("a", 2), ("a", 1)]


def test_a_message_without_a_producer_replaces_an_earlier_one(sandbox: Sandbox) -> None:
    publish.options(delay=timedelta(minutes=10)).enqueue(tenant="a", number=1)
    sandbox.advance(timedelta(seconds=1))
    sandbox.send(imports, {"task": "publish", "args": {"tenant": "a", "number": 2}})
    sandbox.drain()
    assert ran[0] == ("a", 2)


def test_a_delayed_message_that_was_replaced_does_not_run_after_its_replacement(sandbox: Sandbox) -> None:
    for days in (30, 20, 10):
        publish.options(delay=timedelta(days=days)).enqueue(tenant="a", number=days)
    publish.enqueue(tenant="a", number=1)
    sandbox.drain()
    assert ran == [("a", 1)]
    publish.enqueue(tenant="a", number=2)
    sandbox.drain()
    assert ran == [("a", 1), ("a", 2)]


def test_a_message_that_is_replaced_before_it_starts_gives_its_claim_back(sandbox: Sandbox) -> None:
    first = publish.enqueue(tenant="a", number=1)

    def replace_it(call: Call) -> Any:
        answer = call.make()
        if call.operation == "PutItem" and not ran and not meanwhile:
            meanwhile[0] = None
            publish.enqueue(tenant="a", number=2)
        return answer

    with sandbox.fault(replace_it):
        sandbox.drain()
    assert ran == [("a", 2)]
    assert first.status().state == "queued"


def test_a_message_that_was_begun_is_not_dropped_for_a_later_one(sandbox: Sandbox) -> None:
    meanwhile[1] = die
    publish.enqueue(tenant="a", number=1)
    sandbox.run_once()
    publish.options(delay=HOUR).enqueue(tenant="a", number=2)
    sandbox.drain()
    assert ran == [("a", 1), ("a", 1), ("a", 2)]


def test_for_a_time_others_are_duplicates_also_after_the_end(sandbox: Sandbox) -> None:
    first = remind.enqueue(tenant="a", number=1)
    sandbox.drain()
    assert ran == [("a", 1)]
    assert remind.enqueue(tenant="a", number=2) == first
    sandbox.advance(HOUR + timedelta(seconds=1))
    assert not remind.enqueue(tenant="a", number=3).duplicate
    sandbox.drain()
    assert ran == [("a", 1), ("a", 3)]


def test_for_a_time_a_backlog_longer_than_that_starves_nobody(sandbox: Sandbox) -> None:
    for number in range(5):
        # Each comes when the next one is there, and holds the item.
        assert not remind.options(delay=timedelta(minutes=10)).enqueue(tenant="a", number=number).duplicate
        if number:
            sandbox.run_once()
        sandbox.advance(2 * HOUR)
    sandbox.drain()
    assert ran == [("a", number) for number in range(5)]


def test_of_equal_items_the_first_is_sent(sandbox: Sandbox) -> None:
    sent = load.enqueue_many([{"tenant": "ab"[number % 2], "number": number} for number in range(25)])
    assert [handle.duplicate for handle in sent] == [False] * 2 + [True] * 23
    assert sent[24] == sent[0]
    assert sandbox.calls["sqs", "SendMessageBatch"] == 1
    again = load.enqueue_many([{"tenant": "a", "number": 30}, {"tenant": "c", "number": 31}])
    assert [handle.duplicate for handle in again] == [True, False]
    sandbox.drain()
    assert sorted(ran) == [("a", 0), ("b", 1), ("c", 31)]


def test_of_many_the_last_replaces_those_before(sandbox: Sandbox) -> None:
    publish.enqueue_many([{"tenant": "a", "number": number} for number in range(5)])
    sandbox.drain()
    assert ran == [("a", 4)]


def test_a_duplicate_of_an_item_that_was_not_sent_is_not_sent_either(sandbox: Sandbox) -> None:
    def refuse(call: Call) -> Any:
        if call.operation == "SendMessageBatch":
            raise ConnectTimeoutError(endpoint_url="https://aws.example")
        return call.make()

    with sandbox.worker(), sandbox.fault(refuse), pytest.raises(PartialFailureError) as failed:
        load.enqueue_many([{"tenant": "a", "number": 1}, {"tenant": "a", "number": 2}])
    assert len(failed.value.unsent) == 2
    assert holder(load) is None


def test_async_producers_hear_of_duplicates(sandbox: Sandbox) -> None:
    first = asyncio.run(load.aenqueue(tenant="a", number=1))
    assert asyncio.run(load.aenqueue(tenant="a", number=2)) == first


def test_events_and_transactions_take_the_item_on_arrival(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        for number in range(3):
            tx.enqueue(load, tenant="a", number=number)
            tx.emit("tenant.changed", {"tenant": "a", "number": number}, aggregate=str(number))
    sandbox.send(imports, {"task": "load", "args": {"tenant": "a", "number": 3}})
    meanwhile.update(dict.fromkeys(range(4), sandbox.run_once))
    sandbox.drain()
    assert len(ran) >= 2
    assert holder(load) is None
    assert holder(follow) is None


def test_a_firing_is_skipped_while_the_last_one_runs(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox.fire(sweep)
    fails.add(0)
    sandbox.run_once()
    sandbox.fire(sweep)
    sandbox.run_once()
    assert len(ran) == 1
    assert '"Duplicate":[1.0]' in capsys.readouterr().out.replace(" ", "")


def test_a_key_that_was_used_holds_nothing(sandbox: Sandbox) -> None:
    keyed.enqueue(tenant="a", number=1)
    sandbox.drain()
    keyed.enqueue(tenant="a", number=1)  # it will be a duplicate by its key, and holds the item until it comes
    assert not keyed.enqueue(tenant="a", number=2).duplicate
    sandbox.drain()
    assert ran == [("a", 1), ("a", 2)]
    assert holder(keyed) is None


def test_a_limit_is_waited_for_with_the_item_held(sandbox: Sandbox) -> None:
    limited.enqueue(tenant="a", number=1)
    sandbox.drain()
    first = limited.enqueue(tenant="a", number=2)
    sandbox.run_once()
    assert limited.enqueue(tenant="a", number=3) == first
    sandbox.drain()
    assert ran == [("a", 1), ("a", 2)]
    assert holder(limited) is None


def test_on_a_fifo_queue_a_redriven_letter_does_not_wait_for_one_behind_it(sandbox: Sandbox) -> None:
    fails.add(1)
    step.options(group="g").enqueue(tenant="a", number=1)
    sandbox.drain()
    fails.clear()
    redrive(sandbox, ordered)
    step.options(group="g").enqueue(tenant="a", number=2)
    sandbox.drain()
    assert ran[-2:] == [("a", 1), ("a", 2)]
    assert sandbox.dead_letters(ordered) == []


def test_the_loser_of_a_race_gets_the_winners_handle(sandbox: Sandbox) -> None:
    def win(call: Call) -> Any:
        if call.operation == "SendMessage" and not winners:
            winners.append(None)
            winners[0] = load.options(delay=MINUTE).enqueue(tenant="a", number=1)
        return call.make()

    winners: list[Any] = []
    with sandbox.worker(), sandbox.fault(win):
        lost = load.enqueue(tenant="a", number=2)
    assert lost.duplicate
    assert lost == winners[0]
    sandbox.drain()
    assert ran == [("a", 1)]


@pytest.mark.parametrize("skew", [-DAY, timedelta(), DAY], ids=["behind", "right", "ahead"])
def test_an_item_taken_after_its_message_has_ended_holds_nobody_up(skew: timedelta, sandbox: Sandbox) -> None:
    """The same for tasks without a record, whatever the producer's clock says."""

    take_sent = unique.take_sent

    def drain_first(*args: Any, **named: Any) -> Any:
        with sandbox.producer(clock=timedelta()):
            sandbox.drain()
        return take_sent(*args, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unique, "take_sent", drain_first)
        with sandbox.producer(clock=skew):
            handle = touch.enqueue(tenant="a", number=1)
    assert ran == [("a", 1)]
    assert not handle.duplicate
    assert holder(touch) is None


def test_a_producer_that_dies_before_it_takes_the_item_loses_nobodys_work(sandbox: Sandbox) -> None:
    with no_takes():
        load.enqueue(tenant="a", number=1)
    second = load.enqueue(tenant="a", number=2)
    assert not second.duplicate
    sandbox.drain()
    assert ran == [("a", 2)]
    assert second.status().state == "succeeded"


def test_an_item_that_cannot_be_taken_leaves_the_message_sent(sandbox: Sandbox) -> None:
    with no_takes(ConnectTimeoutError(endpoint_url="https://aws.example")):
        handle = load.enqueue(tenant="a", number=1)
    assert not handle.duplicate
    sandbox.drain()
    assert ran == [("a", 1)]
    assert holder(load) is None


def test_an_item_that_cannot_be_read_sends_nothing(sandbox: Sandbox) -> None:
    with sandbox.worker(), sandbox.outage("dynamodb", "GetItem"), pytest.raises(Exception, match="by the test"):
        load.enqueue(tenant="a", number=1)
    sandbox.drain()
    assert ran == []


def test_an_item_that_cannot_be_freed_makes_nothing_run_twice(sandbox: Sandbox) -> None:
    for number in range(5):
        load.enqueue(tenant=str(number), number=number)
    with sandbox.outage("dynamodb", table="flow", for_=timedelta(hours=2)):
        sandbox.run_once()
        assert ran == []  # an item that can't be read lets nothing run
    frees: list[object] = []

    def refuse(call: Call) -> Any:
        if call.operation == "UpdateItem" and "freed = stamp" in call.arguments["UpdateExpression"] and len(frees) < 30:
            frees.append(None)
            raise ConnectTimeoutError(endpoint_url="https://aws.example")
        return call.make()

    with sandbox.fault(refuse):
        sandbox.drain()
    assert sorted(ran) == [(str(number), number) for number in range(5)]
    assert sandbox.dead_letters(imports) == []
    assert [holder(load, str(number)) for number in range(5)] == [None] * 5


def test_a_queue_whose_tasks_are_not_unique_makes_no_call_for_it(sandbox: Sandbox) -> None:
    plain = Queue("plain")

    @task(plain)
    def work() -> None: ...

    work.enqueue()
    sandbox.drain()
    assert sandbox.calls["dynamodb", "GetItem"] == 0
    assert sandbox.items("flow") == []
