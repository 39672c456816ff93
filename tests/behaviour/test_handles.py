"""A handle can be stored as its reference. It also tells which message its state belongs to."""

from collections.abc import Callable
from datetime import timedelta
from typing import assert_type
from uuid import uuid4

import pytest

import celeriac
from celeriac import Backoff, Context, Handle, Queue, Reject, Retry, Status, TaskFailedError, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.declare.reference import InvalidReferenceError
from celeriac.model.version import VERSION
from celeriac.testing import Sandbox
from tests.support.faults import out_of_reach

orders = Queue("orders-of-handles", batch_size=10)
lockers = Queue("lockers", batch_size=10)


@task(orders, key="order_id", retry=Backoff(attempts=1))
def ship(order_id: str, fail: bool = False) -> str:  # noqa: FBT001, FBT002 - the parameters are the payload
    if fail:
        raise Reject("no such address")
    return f"shipped {order_id}"


@task(orders)
def pack() -> str:
    return "packed"


@task(lockers, key="locker", delivery="at_most_once")
def unlock(locker: str) -> None:
    raise ConnectionError("jammed")


@task(orders, delivery="at_least_once", retry=Backoff(attempts=1))
def ring(ctx: Context, wrong: bool = False) -> None:  # noqa: FBT001, FBT002 - the parameters are the payload
    if wrong:
        raise Retry("nobody answers")


def test_a_reference_gives_the_handle_back(sandbox: Sandbox) -> None:
    handle = ship.enqueue(order_id="o/7 ü")
    again = celeriac.handle(handle.ref)
    assert again.status() == Status("queued")
    sandbox.drain()
    assert again.result() == "shipped o/7 ü"
    assert (again.task, again.id, again.key, again.ref) == ("ship", handle.id, handle.key, handle.ref)


def test_a_handle_is_shown_as_its_reference(sandbox: Sandbox) -> None:
    handle = ship.enqueue(order_id="7")
    assert repr(handle) == f"Handle({handle.ref!r})"


def test_the_library_tells_its_version() -> None:
    assert celeriac.__version__ == VERSION


def test_a_reference_of_a_task_without_a_key_is_short(sandbox: Sandbox) -> None:
    handle = pack.enqueue()
    assert handle.ref.partition("@")[0] == f"pack/{handle.id}"
    sandbox.drain()
    assert celeriac.handle(handle.ref).result() == "packed"


@pytest.mark.parametrize("text", ["", "ship", "ship/", "/a", "a/b/c/d", "ship/a@soon", f"ship/a@{10**20}"])
def test_an_invalid_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError, match="is no reference of a task"):
        celeriac.handle(text)


def test_a_reference_of_an_unknown_task_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(LookupError, match="none has that name here"):
        celeriac.handle("shop/0198f3c2")


def test_a_handle_by_key_has_the_id_of_the_message_that_ran(sandbox: Sandbox) -> None:
    first = ship.enqueue(order_id="o-1")
    sandbox.drain()
    status = ship.handle(key="o-1").status()
    assert (status.state, status.id, status.duplicate_of) == ("succeeded", first.id, None)
    assert ship.handle(key="o-1", id="made-up").duplicate_of == first.id


def test_the_state_of_a_task_never_sent_is_unknown(sandbox: Sandbox) -> None:
    for handle in (ship.handle(key="o-1"), pack.handle(id="0198f3c2"), celeriac.handle("ship/0198f3c2/o-1")):
        assert handle.status() == Status("unknown")
        with pytest.raises(LookupError, match="nothing is known of task"):
            handle.result()


def test_a_handle_without_a_key_or_id_is_refused() -> None:
    with pytest.raises(ValueError, match=r"write handle\(key=...\), the value of 'order_id'"):
        ship.handle(id="0198f3c2")
    with pytest.raises(ValueError, match=r"write handle\(id=...\) or"):
        pack.handle()  # type: ignore[call-overload]  # the fault


def test_an_at_least_once_task_is_not_found_by_its_key(sandbox: Sandbox) -> None:
    @task(orders, key="door", delivery="at_least_once", retry=Backoff(attempts=1))
    def knock(door: str) -> None:
        raise Reject("nobody there")

    with pytest.raises(ValueError, match=r"is at_least_once, .* write handle\(key=..., id=...\)"):
        knock.handle(key="d-1")
    sent = knock.enqueue(door="d-1")
    sandbox.drain()
    assert knock.handle(key="d-1", id=sent.id).status().state == "dead"


def test_a_handle_takes_an_id_as_a_text() -> None:
    with pytest.raises(TypeError, match=r"takes a text, not UUID: write str"):
        pack.handle(id=uuid4())  # type: ignore[call-overload]  # the fault


def test_a_handle_by_id_knows_nothing_before_the_first_run_and_that_of_a_reference_does(sandbox: Sandbox) -> None:
    sent = pack.enqueue()
    assert (pack.handle(id=sent.id).status().state, celeriac.handle(sent.ref).status().state) == ("unknown", "queued")
    sandbox.drain()
    assert assert_type(pack.handle(id=sent.id), Handle[str]).result() == "packed"


def test_a_duplicate_knows_that_another_message_ran(sandbox: Sandbox) -> None:
    first, second = ship.enqueue(order_id="o-1"), ship.enqueue(order_id="o-1")
    waiting = second.duplicate_of
    assert waiting is None  # the first message may fail, and then the second runs
    sandbox.drain()
    assert [handle.duplicate_of for handle in (first, second)] == [None, first.id]
    assert second.result() == "shipped o-1"


def test_a_duplicate_of_a_dead_at_most_once_task_is_dead_too(sandbox: Sandbox) -> None:
    first = unlock.enqueue(locker="l-1")
    sandbox.drain()
    second = unlock.enqueue(locker="l-1")
    sandbox.drain()
    assert second.status().state == "dead"
    assert second.duplicate_of == first.id


def test_a_status_has_the_times_due_and_since(sandbox: Sandbox) -> None:
    start = sandbox.now
    later = pack.options(delay=timedelta(hours=2)).enqueue()
    assert later.status().due == start + timedelta(hours=2)
    sandbox.drain()
    assert later.status().since == sandbox.now


def test_a_delayed_task_is_queued_for_its_whole_delay(sandbox: Sandbox) -> None:
    handle = celeriac.handle(pack.options(delay=timedelta(days=30)).enqueue().ref)
    sandbox.advance(timedelta(days=29))
    assert handle.status().state == "queued"


def test_a_message_that_sqs_has_deleted_is_not_queued(sandbox: Sandbox) -> None:
    handle = pack.enqueue()
    sandbox.advance(orders.retention + timedelta(seconds=1))
    assert handle.status().state == "unknown"
    with pytest.raises(LookupError):
        handle.result()


# A handle tells that its message is dead, by whichever way the message came into the dead-letter queue.


def test_a_handle_tells_that_a_quarantined_task_is_dead(sandbox: Sandbox) -> None:
    quarantine.add(quarantine.of_task("pack"))
    quarantine.refresh()
    handle = pack.enqueue()
    sandbox.drain()
    quarantine.lift(quarantine.of_task("pack"))
    quarantine.refresh()
    status = handle.status()
    assert (status.state, status.failure and status.failure.reason) == ("dead", "quarantined")
    with pytest.raises(TaskFailedError, match="quarantined"):
        handle.result()


def test_a_handle_tells_that_a_message_with_malformed_arguments_is_dead(
    sandbox: Sandbox, send: Callable[[Queue, object], None]
) -> None:
    send(orders, {"task": "ship", "id": "foreign", "args": {"order": "o-1"}})
    sandbox.drain()
    assert ship.handle(key="unknown to us", id="foreign").status().state == "dead"


def test_a_finished_at_least_once_task_is_dead_or_unknown(sandbox: Sandbox) -> None:
    well, badly = ring.enqueue(), ring.enqueue(wrong=True)
    assert ring.options(delay=timedelta(minutes=1)).enqueue().status().state == "queued"
    sandbox.drain()
    assert (well.status().state, badly.status().state) == ("unknown", "dead")


def test_a_dead_at_least_once_task_on_a_fifo_queue_stays_dead_after_its_letter_is_deleted(sandbox: Sandbox) -> None:
    in_order = Queue("orders-in-order", fifo=True, batch_size=10)

    @task(in_order, delivery="at_least_once", retry=Backoff(attempts=2))
    def book() -> None:
        raise ConnectionError

    handle = book.options(group="g").enqueue()
    sandbox.drain()
    client("sqs").purge_queue(QueueUrl=sqs.url(in_order.dead_letter_name("test")))
    assert handle.status().state == "dead"


def test_a_redriven_at_least_once_task_is_no_longer_dead(sandbox: Sandbox) -> None:
    handle = ring.enqueue(wrong=True)
    sandbox.drain()
    (letter,) = sandbox.dead_letters(orders)
    redriven = letter.body.replace('"wrong":true', '"wrong":false')
    client("sqs").purge_queue(QueueUrl=sqs.url("celeriac-test--orders-of-handles-dlq"))
    client("sqs").send_message(QueueUrl=sqs.url("celeriac-test--orders-of-handles"), MessageBody=redriven)
    sandbox.drain()
    assert handle.status().state == "unknown"  # the task has succeeded, and nothing is stored about its success


def _move_as_sqs_does(count: int) -> None:
    """More receives than the queue allows: SQS moves the message and adds no reason."""
    url = sqs.url("celeriac-test--orders-of-handles")
    for _ in range(count):
        client("sqs").receive_message(QueueUrl=url, VisibilityTimeout=0)


def test_a_message_that_sqs_moved_by_itself_is_dead(sandbox: Sandbox) -> None:
    handle = ship.enqueue(order_id="o-1")
    _move_as_sqs_does(orders.receive_limit + 1)
    assert sandbox.dead_letters(orders)
    assert handle.status() == Status("dead")
    with pytest.raises(TaskFailedError, match="no reason is known"):
        handle.result()


def test_the_letters_of_other_tasks_do_not_change_the_status_of_a_waiting_task(sandbox: Sandbox) -> None:
    ship.enqueue(order_id="o-1", fail=True)
    sandbox.drain()
    handle = pack.enqueue()
    assert handle.status() == Status("queued")
    sandbox.calls.clear()
    handle.status()
    assert sandbox.calls[("sqs", "ReceiveMessage")] == 0  # the letters were read a moment ago


def test_a_task_is_unknown_if_there_are_more_letters_than_a_handle_reads(sandbox: Sandbox) -> None:
    ship.enqueue_many({"order_id": f"o-{n}", "fail": True} for n in range(120))
    sandbox.drain()
    handle = pack.enqueue()
    assert handle.status().state == "queued"  # too young: SQS can't have moved it yet
    sandbox.advance(orders.visibility + timedelta(seconds=1))
    assert handle.status().state == "unknown"
    assert handle.result(timeout=60) == "packed"  # the result still arrives


def test_a_dead_message_stays_dead_when_another_message_of_its_key_dies(sandbox: Sandbox) -> None:
    first = ship.enqueue(order_id="o-1", fail=True)
    sandbox.drain()
    second = ship.enqueue(order_id="o-1", fail=True)
    sandbox.drain()
    client("sqs").purge_queue(QueueUrl=sqs.url("celeriac-test--orders-of-handles-dlq"))
    assert [handle.status().state for handle in (first, second)] == ["dead", "dead"]


def test_a_dead_message_on_a_fifo_queue_stays_dead_when_another_of_its_key_dies(sandbox: Sandbox) -> None:
    in_order = Queue("orders-in-order", fifo=True, batch_size=10)

    @task(in_order, key="order_id")
    def refuse(order_id: str) -> None:
        raise Reject("no such address")

    handles = []
    for _ in range(2):
        handles.append(refuse.options(group="g").enqueue(order_id="o-1"))
        sandbox.drain()
        sandbox.advance(timedelta(minutes=6))  # within five minutes SQS drops a second message with the same id
    client("sqs").purge_queue(QueueUrl=sqs.url(in_order.dead_letter_name("test")))
    assert [handle.status().state for handle in handles] == ["dead", "dead"]


def test_a_dead_letter_is_sent_even_if_the_table_is_out_of_reach(sandbox: Sandbox) -> None:
    ring.enqueue_many([{"wrong": True}, {"wrong": False}])
    with out_of_reach("dynamodb", "PutItem"):
        sandbox.drain()
    assert len(sandbox.dead_letters(orders)) == 1


def test_a_key_that_does_not_fit_into_a_message_is_refused() -> None:
    for key, why in (("x" * 1025, "a key has 1024 characters at most"), ("\ud83d", "half of a surrogate pair")):
        with pytest.raises(ValueError, match=why):
            pack.options(key=key)


def test_a_handle_by_id_tells_that_a_malformed_message_is_dead(
    sandbox: Sandbox, send: Callable[[Queue, object], None]
) -> None:
    send(orders, {"task": "pack", "id": "foreign", "key": "x" * 1025})
    sandbox.drain()
    assert pack.handle(id="foreign").status().state == "dead"


def test_a_handle_spells_a_key_as_the_consumer_spells_it(sandbox: Sandbox) -> None:
    @task(orders, key="weight")
    def weigh(weight: float) -> float:
        return weight

    weigh.enqueue(weight=5)
    sandbox.drain()
    assert weigh.handle(key=5).result() == 5.0
