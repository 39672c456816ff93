"""Cancel: what waits never runs, whenever it comes, and what runs is asked to stop."""

from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, TaskCancelled, Unique, task
from celeriac.aws.client import client
from celeriac.testing import Sandbox

YEAR = timedelta(days=365)
DAY = timedelta(days=1)
mailings = Queue("mailings")
ordered_mailings = Queue("ordered-mailings", fifo=True)
ran: list[tuple[str, int]] = []
fails: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    fails.clear()


SOON = Backoff(base=timedelta(minutes=1), jitter=0, attempts=3)


def _run(ctx: Context) -> None:
    ran.append((ctx.id, ctx.attempt))
    if fails:
        fails.pop()
        raise ConnectionError("not now")


@task(mailings, key="customer", retry=SOON)
def send_mailing(ctx: Context, customer: str, text: str = "") -> str:
    _run(ctx)
    return text


@task(mailings, key="customer", delivery="at_most_once")
def send_mailing_once(ctx: Context, customer: str) -> None:
    _run(ctx)


@task(mailings, delivery="at_least_once")
def ping_mailing(ctx: Context) -> None:
    _run(ctx)


@task(mailings, unique=Unique(by="customer"), retry=SOON)
def import_mailing(ctx: Context, customer: str) -> None:
    _run(ctx)


@task(ordered_mailings, retry=SOON)
def send_in_order(ctx: Context, text: str) -> None:
    _run(ctx)


def test_a_task_that_waits_does_not_run(sandbox: Sandbox) -> None:
    handle = send_mailing.enqueue("a")
    assert handle.cancel("the customer has left", by="shop")
    sandbox.drain()
    assert ran == []
    assert sandbox.dead_letters(mailings) == []
    status = handle.status()
    assert (status.state, status.attempts) == ("cancelled", 0)
    assert status.cancellation is not None
    assert (status.cancellation.by, status.cancellation.why) == ("shop", "the customer has left")
    assert status.failure is not None
    assert status.failure.reason == "cancelled"
    with pytest.raises(TaskCancelled, match="shop cancelled it: the customer has left"):
        handle.result()


def test_it_costs_one_write(sandbox: Sandbox) -> None:
    handle = send_mailing.enqueue("a")
    before = sandbox.calls.copy()
    assert handle.cancel()
    assert sandbox.calls - before == {("dynamodb", "UpdateItem"): 1}


def test_cancelled_twice_is_cancelled(sandbox: Sandbox) -> None:
    handle = send_mailing.enqueue("a")
    assert handle.cancel("one")
    assert handle.cancel("two")
    sandbox.drain()
    assert handle.cancel("three")
    assert ran == []


def test_delayed_for_a_year_while_others_of_the_key_come_and_go(sandbox: Sandbox) -> None:
    """Their success must not shorten the life of what the record says of the cancelled one."""
    late = send_mailing.options(delay=YEAR).enqueue("a", "late")
    sandbox.advance(DAY)
    assert late.cancel("no")
    for number in range(5):
        send_mailing.enqueue("a", str(number))
        sandbox.run_once()
        sandbox.advance(timedelta(days=60))
    sandbox.drain()
    assert len(ran) == 5
    assert late.id not in [each for each, _ in ran]
    assert late.status().state == "cancelled"


def test_a_success_is_remembered_no_longer_for_a_tombstone_beside_it(sandbox: Sandbox) -> None:
    late = send_mailing.options(delay=YEAR).enqueue("a")
    assert late.cancel()
    first = send_mailing.enqueue("a")
    sandbox.run_once()
    copy = send_mailing.enqueue("a")
    sandbox.run_once()
    assert copy.duplicate_of == first.id
    sandbox.advance(timedelta(days=30))
    assert first.status().state == "unknown"
    second = send_mailing.enqueue("a")
    sandbox.run_once()
    assert ran == [(first.id, 1), (second.id, 1)]


def test_cancelled_after_another_of_its_key_has_succeeded(sandbox: Sandbox) -> None:
    late = send_mailing.options(delay=200 * DAY).enqueue("a")
    done = send_mailing.enqueue("a")
    sandbox.run_once()
    assert late.cancel()
    assert done.status().state == "succeeded"
    assert late.status().state == "cancelled"
    sandbox.drain()
    assert ran == [(done.id, 1)]


def test_a_tombstone_in_vain_shortens_no_success(sandbox: Sandbox) -> None:
    """After 390 days no message that was cancelled then can come. The record's own end is later."""
    old = send_mailing.options(delay=DAY).enqueue("a")
    assert old.cancel()
    sandbox.advance(timedelta(days=390))
    first = send_mailing.enqueue("a")
    sandbox.run_once()
    sandbox.advance(timedelta(days=12))
    copy = send_mailing.enqueue("a")
    sandbox.drain()
    assert copy.duplicate_of == first.id
    assert ran == [(first.id, 1)]


def test_a_task_that_is_retried_is_not_tried_again(sandbox: Sandbox) -> None:
    fails.append("once")
    handle = send_mailing.enqueue("a")
    sandbox.run_once()
    assert handle.status().state == "retrying"
    assert handle.cancel("enough")
    assert handle.status().state == "cancelled"
    sandbox.drain()
    assert ran == [(handle.id, 1)]
    assert handle.status().attempts == 1


def test_one_that_has_ended_is_not_cancelled(sandbox: Sandbox) -> None:
    handle = send_mailing.enqueue("a")
    sandbox.drain()
    assert not handle.cancel()
    assert handle.status().state == "succeeded"
    fails.extend(["always"] * 3)
    dead = send_mailing.enqueue("b")
    sandbox.drain()
    assert not dead.cancel()
    assert dead.status().state == "dead"


def test_another_message_of_the_key_is_a_new_wish(sandbox: Sandbox) -> None:
    first = send_mailing.enqueue("a", "first")
    assert first.cancel()
    second = send_mailing.enqueue("a", "second")
    sandbox.drain()
    assert second.result() == "second"
    assert (first.status().state, second.status().state) == ("cancelled", "succeeded")


def test_several_of_a_key_are_cancelled(sandbox: Sandbox) -> None:
    handles = [send_mailing.enqueue("a", str(number)) for number in range(4)]
    for handle in handles[:3]:
        assert handle.cancel()
    sandbox.drain()
    assert ran == [(handles[3].id, 1)]
    assert [handle.status().state for handle in handles] == ["cancelled"] * 3 + ["succeeded"]


def test_an_expired_record_is_replaced(sandbox: Sandbox) -> None:
    fails.append("once")
    send_mailing.enqueue("a", "other")
    sandbox.run_once()
    late = send_mailing.options(delay=100 * DAY).enqueue("a")
    sandbox.advance(40 * DAY)  # the record of the first one has expired; TTL may not have deleted it
    assert late.cancel()
    (item,) = client("dynamodb").scan(TableName="celeriac-test--idempotency")["Items"]
    assert "status" not in item


def test_at_most_once(sandbox: Sandbox) -> None:
    handle = send_mailing_once.options(delay=DAY).enqueue("a")
    assert handle.cancel()
    again = send_mailing_once.enqueue("a")
    sandbox.drain()
    assert ran == [(again.id, 1)]
    assert not again.cancel()
    assert handle.status().state == "cancelled"


def test_at_least_once_keeps_no_record(sandbox: Sandbox) -> None:
    handle = ping_mailing.enqueue()
    with pytest.raises(TypeError, match="at_least_once: no record"):
        handle.cancel()
    sandbox.drain()
    assert len(ran) == 1


def test_a_key_of_which_nothing_is_known(sandbox: Sandbox) -> None:
    with pytest.raises(LookupError, match="it isn't known which message"):
        send_mailing.handle(key="a").cancel()
    fails.append("once")
    send_mailing.enqueue("a")
    sandbox.run_once()
    assert send_mailing.handle(key="a").cancel()
    assert send_mailing.handle(key="a").status().state == "cancelled"
    sandbox.drain()
    assert len(ran) == 1


def test_what_is_said_has_an_end(sandbox: Sandbox) -> None:
    handle = send_mailing.enqueue("a")
    with pytest.raises(ValueError, match="why has 501 characters"):
        handle.cancel("x" * 501)
    with pytest.raises(TypeError, match="by is 7"):
        handle.cancel("x", by=7)  # type: ignore[arg-type]


def test_a_unique_one_frees_its_place(sandbox: Sandbox) -> None:
    first = import_mailing.options(delay=DAY).enqueue("a")
    assert first.cancel()
    second = import_mailing.enqueue("a")
    assert not second.duplicate
    third = import_mailing.options(delay=DAY).enqueue("b")
    assert third.cancel()
    sandbox.drain()
    assert ran == [(second.id, 1)]
    assert not import_mailing.enqueue("b").duplicate


def test_its_group_goes_on(sandbox: Sandbox) -> None:
    first, second, third = (send_in_order.options(group="g").enqueue(text) for text in "abc")
    fails.append("once")
    sandbox.run_once()
    assert first.status().state == "retrying"
    assert first.cancel()
    assert second.cancel()
    sandbox.drain()
    assert ran == [(first.id, 1), (third.id, 1)]
    assert [one.status().state for one in (first, second, third)] == ["cancelled", "cancelled", "succeeded"]


def test_it_is_counted(sandbox: Sandbox, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    send_mailing.enqueue("a").cancel("secret reason")
    sandbox.drain()
    assert '"Cancelled":[1.0]' in capsys.readouterr().out
    logged = [vars(record) for record in caplog.records]
    assert [one["outcome"] for one in logged] == ["cancelled"]
    assert "secret reason" not in str(logged)


@task(mailings, key="customer", expires=timedelta(hours=1))
def flash_offer(ctx: Context, customer: str, text: str = "") -> str:
    _run(ctx)
    return text


def test_one_that_expires_leaves_the_tombstone_of_another_one_of_its_key(sandbox: Sandbox) -> None:
    """A is delayed for 200 days and cancelled. B of its key expires, and the end of its record passes."""
    late = flash_offer.options(delay=timedelta(days=200), expires=timedelta(days=300)).enqueue("a", text="late")
    assert late.cancel("not wanted")
    flash_offer.enqueue("a", text="soon")
    sandbox.advance(timedelta(hours=2))
    sandbox.run_once()
    sandbox.advance(30 * DAY)
    third = flash_offer.enqueue("a", text="another")
    sandbox.run_once()
    sandbox.advance(200 * DAY)
    sandbox.drain()
    assert [its_id for its_id, _ in ran] == [third.id]
    assert late.status().state == "cancelled"
