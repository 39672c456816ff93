"""What an attack on `Unique` and `Debounce` has found: copies, hand-backs, long lines, hot items and quarantine."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from celeriac import Backoff, Debounce, Queue, Unique, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.flow import unique
from celeriac.testing import Call, Sandbox, die
from celeriac.testing.disturbances import refusal

once = Queue("once-attacked", timeout=timedelta(minutes=1))
once_wide = Queue("once-attacked-wide", timeout=timedelta(minutes=1), concurrency=10)
once_line = Queue("once-attacked-line", fifo=True, timeout=timedelta(minutes=1))
SOON = Backoff(base=timedelta(minutes=1), jitter=0, attempts=3)
PERIOD = timedelta(seconds=5)
ran: list[str] = []
times: list[datetime] = []
meanwhile: dict[str, Any] = {}
quiet = Debounce(PERIOD, by="document")


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    times.clear()
    meanwhile.clear()


def _run(text: str) -> None:
    ran.append(text)
    times.append(datetime.now(UTC))
    if text in meanwhile:
        meanwhile.pop(text)()


@task(once, unique=Unique(by="document", until="started"), retry=SOON)
def refresh_once(document: str, text: str) -> None:
    _run(text)


@task(once, unique=Unique(by="document", until="started", on_conflict="replace"), retry=SOON)
def publish_once(document: str, text: str) -> None:
    _run(text)


@task(once, unique=Unique(by="document", until="started", on_conflict="replace"), delivery="at_least_once")
def publish_at_least_once(document: str, text: str) -> None:
    _run(text)


@task(once, unique=Unique(by="document"), delivery="at_least_once")
def load_at_least_once(document: str, text: str) -> None:
    _run(text)


@task(once_line, unique=Unique(by="document"), retry=SOON)
def stand_once(document: str, text: str) -> None:
    _run(text)


@task(once, unique=Unique(by="document"), retry=SOON)
def load_once(document: str, text: str) -> None:
    _run(text)


@task(once, debounce=quiet, retry=SOON)
def index_once_more(document: str, text: str) -> None:
    _run(text)


@task(once_wide, debounce=quiet)
def index_widely(document: str, text: str) -> None:
    _run(text)


def purge() -> None:
    client("sqs").purge_queue(QueueUrl=sqs.url(once.physical_name("test")))


def sent_bodies(sandbox: Sandbox) -> tuple[list[str], Any]:
    bodies: list[str] = []

    def note(call: Call) -> Any:
        if call.operation == "SendMessage":
            bodies.append(call.arguments["MessageBody"])
        return call.make()

    return bodies, sandbox.fault(note)


@pytest.mark.parametrize("seed", range(8))
def test_of_many_in_one_call_none_runs_after_the_last(sandbox: Sandbox, seed: int) -> None:
    sandbox.deliver(reorders=True, seed=seed)
    publish_once.enqueue_many([{"document": "a", "text": str(number)} for number in range(30)])
    sandbox.drain()
    assert ran[-1] == "29"


def test_a_change_is_not_missed_though_a_copy_comes_while_the_message_runs(sandbox: Sandbox) -> None:
    told: list[bool] = []
    bodies, noting = sent_bodies(sandbox)
    with sandbox.worker(), noting:
        refresh_once.enqueue("a", "1")

    def copy_and_change() -> None:
        sandbox.send(once, bodies[0])
        sandbox.run_once()
        told.append(refresh_once.enqueue("a", "2").duplicate)

    meanwhile["1"] = copy_and_change
    sandbox.drain()
    assert ran == ["1", "2"]


def test_a_change_of_a_transaction_is_not_missed_either(sandbox: Sandbox) -> None:
    bodies, noting = sent_bodies(sandbox)
    with sandbox.worker(), noting:
        refresh_once.enqueue("a", "1")

    def copy_and_change() -> None:
        sandbox.send(once, bodies[0])
        sandbox.run_once()
        sandbox.send(once, {"task": "refresh_once", "args": {"document": "a", "text": "2"}})
        sandbox.run_once()

    meanwhile["1"] = copy_and_change
    sandbox.drain()
    assert ran == ["1", "2"]


def test_a_replaced_message_that_never_began_does_not_run_when_it_comes_again(sandbox: Sandbox) -> None:
    bodies, noting = sent_bodies(sandbox)
    with sandbox.worker(), noting:
        publish_once.enqueue("a", "1")
    replaced: list[bool] = []

    def replace_it(call: Call) -> Any:
        answer = call.make()
        if call.operation == "PutItem" and not replaced:
            replaced.append(True)
            publish_once.enqueue("a", "2")
        return answer

    with sandbox.fault(replace_it):
        sandbox.drain()
    assert ran == ["2"]
    sandbox.send(once, bodies[0])
    sandbox.drain()
    assert ran == ["2"]


def test_a_replaced_message_that_was_handed_back_does_not_run_after_its_replacement(sandbox: Sandbox) -> None:
    publish_at_least_once.enqueue("a", "1")
    with sandbox.outage("dynamodb", table="flow", code="InternalServerError"):
        sandbox.run_once()
    publish_at_least_once.enqueue("a", "2")
    sandbox.drain()
    assert ran == ["2"]


def test_a_message_that_began_runs_again_though_another_one_waits(sandbox: Sandbox) -> None:
    meanwhile["1"] = die
    publish_at_least_once.enqueue("a", "1")
    sandbox.run_once()
    publish_at_least_once.options(delay=timedelta(hours=1)).enqueue("a", "2")
    sandbox.drain()
    assert ran == ["1", "1", "2"]


def test_an_item_that_cannot_be_freed_at_once_makes_nothing_run_twice_without_a_record(sandbox: Sandbox) -> None:
    refused: list[None] = []

    def refuse(call: Call) -> Any:
        if (
            call.operation == "UpdateItem"
            and "freed = stamp" in call.arguments["UpdateExpression"]
            and len(refused) < 5
        ):
            refused.append(None)
            raise ConnectTimeoutError(endpoint_url="https://aws.example")
        return call.make()

    load_at_least_once.enqueue("a", "1")
    with sandbox.fault(refuse):
        sandbox.drain()
    assert (ran, len(refused)) == (["1"], 5)


THROTTLED = "ProvisionedThroughputExceededException"


def test_an_item_that_is_hot_for_two_hours_costs_few_calls(sandbox: Sandbox) -> None:
    load_once.enqueue("a", "1")
    before = sandbox.calls["sqs", "SendMessage"] + sandbox.calls["sqs", "SendMessageBatch"]
    with sandbox.outage("dynamodb", "GetItem", table="flow", code=THROTTLED, for_=timedelta(hours=2)):
        sandbox.drain()
    assert ran == ["1"]
    assert sandbox.calls["sqs", "SendMessage"] + sandbox.calls["sqs", "SendMessageBatch"] - before < 200


def test_an_item_that_is_hot_for_two_hours_makes_no_letter_of_a_group(sandbox: Sandbox) -> None:
    stand_once.options(group="g").enqueue("a", "1")
    with sandbox.outage("dynamodb", "GetItem", table="flow", code=THROTTLED, for_=timedelta(hours=2)):
        sandbox.drain()
    assert ran == ["1"]
    assert sandbox.dead_letters(once_line) == []


def test_a_burst_whose_first_message_ends_in_quarantine_keeps_nobody_waiting(sandbox: Sandbox) -> None:
    index_once_more.enqueue("a", "0")
    with sandbox.outage("sqs", "SendMessage", queue=once):
        sandbox.run_once()  # it is gathered, and its tick isn't sent
    quarantine.add(quarantine.of_task("index_once_more"))
    quarantine.refresh()
    sandbox.drain()
    assert len(sandbox.dead_letters(once)) == 1
    quarantine.lift(quarantine.of_task("index_once_more"))
    quarantine.refresh()
    index_once_more.enqueue("a", "1")
    sandbox.drain()
    assert ran == ["1"]


def test_a_tick_that_comes_days_late_still_ends_its_burst(sandbox: Sandbox) -> None:
    bodies, noting = sent_bodies(sandbox)
    index_once_more.enqueue("a", "0")
    with noting:
        sandbox.run_once()
    purge()
    for day in range(1, 4):
        sandbox.advance(timedelta(days=1, minutes=2))
        index_once_more.enqueue("a", str(day))
        sandbox.run_once()
        purge()
    (tick,) = bodies
    sandbox.send(once, tick)
    sandbox.drain()
    assert ran == ["3"]


def test_a_tick_that_was_sent_again_though_it_was_not_lost_runs_its_burst_once(sandbox: Sandbox) -> None:
    bodies, noting = sent_bodies(sandbox)
    index_once_more.enqueue("a", "0")
    with noting:
        sandbox.run_once()
    purge()
    sandbox.advance(timedelta(days=1, minutes=2))
    index_once_more.enqueue("a", "1")
    sandbox.run_once()
    sandbox.send(once, bodies[0])
    sandbox.drain()
    assert ran == ["1"]


@pytest.mark.parametrize("after", [False, True])
def test_the_sender_of_a_lost_tick_may_die(sandbox: Sandbox, *, after: bool) -> None:
    index_once_more.enqueue("a", "0")
    sandbox.run_once()
    purge()
    sandbox.advance(timedelta(days=1, minutes=2))
    index_once_more.enqueue("a", "1")
    sandbox.crash_at(1, after=after)  # at the write that makes it the sender
    sandbox.run_once()
    sandbox.drain()
    assert ran == ["1"]


@pytest.mark.parametrize("is_retry", [False, True])
def test_a_slow_claim_lets_no_older_arguments_start_after_newer_ones(sandbox: Sandbox, *, is_retry: bool) -> None:
    met: list[str] = []

    def overtake(call: Call) -> Any:
        # The claim of a retry is an update of the record.
        is_claim = call.operation == "PutItem" or "#started_at" in call.arguments.get("ExpressionAttributeNames", {})
        if is_claim and not met and len(ran) == is_retry:
            met.append("claim")
            index_once_more.enqueue("a", "new")
            sandbox.run_once()
            sandbox.advance(timedelta(seconds=6))
            sandbox.run_once()
        return call.make()

    def fail() -> None:
        raise ConnectionError

    if is_retry:
        meanwhile["old"] = fail
    index_once_more.enqueue("a", "old")
    with sandbox.fault(overtake):
        sandbox.drain()
    assert ran == [*["old"] * is_retry, "new"]
    assert met


def test_ten_messages_of_a_hot_item_ask_once(sandbox: Sandbox) -> None:
    index_widely.enqueue_many({"document": "a", "text": str(number)} for number in range(10))
    refused: list[None] = []

    def refuse(call: Call) -> Any:
        if call.operation == "UpdateItem":
            refused.append(None)
            raise refusal(call, THROTTLED)
        return call.make()

    with sandbox.fault(refuse):
        sandbox.run_once()
    assert len(refused) == 1
    sandbox.drain()
    assert ran == ["9"]


def test_a_clock_that_is_days_ahead_lets_no_message_that_has_ended_hold_its_item(sandbox: Sandbox) -> None:
    take_sent = unique.take_sent

    def drain_first(*args: Any, **named: Any) -> Any:
        with sandbox.producer(clock=timedelta()):
            sandbox.drain()
        return take_sent(*args, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unique, "take_sent", drain_first)
        with sandbox.producer(clock=timedelta(days=3)):
            load_at_least_once.enqueue("a", "1")
    assert not load_at_least_once.enqueue("a", "2").duplicate
    sandbox.drain()
    assert ran == ["1", "2"]
