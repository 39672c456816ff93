"""The transactional outbox: items and the events about them are written together or not at all."""

import re
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

import celeriac
from celeriac import (
    Backoff,
    ConditionFailedError,
    Context,
    InvalidArgumentsError,
    Queue,
    Reject,
    TransactionError,
    task,
)
from celeriac.aws.client import client
from celeriac.testing import Sandbox
from tests.support.faults import out_of_reach, registered

shop = Queue("shop", batch_size=10)
told: list[tuple[str, str]] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    told.clear()


@task(shop, on="invoice.created")
def book(invoice: str) -> None:
    told.append(("book", invoice))


@task(shop, on="invoice.*")
def archive(ctx: Context, invoice: str) -> None:
    told.append(("archive", invoice))


@task(shop)
def remind(invoice: str) -> None:
    told.append(("remind", invoice))


ledger = Queue("shop-ledger", fifo=True, batch_size=10)


@task(shop)
def note(ctx: Context, text: str) -> None:
    told.append((text, ctx.group or ctx.key))


@task(ledger, on="entry.made")
def ordered(ctx: Context, text: str) -> None:
    told.append((text, ctx.group or ""))


def test_a_committed_transaction_publishes_its_event_to_every_subscriber(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.put("orders", {"pk": "o-1", "total": 5})
        tx.emit("invoice.created", {"invoice": "i-1", "unasked": "fields are left out"}, aggregate="i-1")

    sandbox.drain()

    assert sorted(told) == [("archive", "i-1"), ("book", "i-1")]
    assert _item("o-1") == {"pk": {"S": "o-1"}, "total": {"N": "5"}}
    assert sandbox.dead_letters(shop) == []


def test_an_exception_rolls_everything_back(sandbox: Sandbox) -> None:
    with pytest.raises(ZeroDivisionError), celeriac.transaction() as tx:
        tx.put("orders", {"pk": "o-1"})
        tx.emit("invoice.created", {"invoice": "i-1"})
        raise ZeroDivisionError

    sandbox.drain()
    assert told == []
    assert _item("o-1") is None


def test_a_failed_condition_rolls_everything_back_and_is_named(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.put("orders", {"pk": "o-1", "by": "Ada"})
    with pytest.raises(ConditionFailedError, match="put into orders") as caught, celeriac.transaction() as tx:
        tx.put("orders", {"pk": "o-2"})
        tx.put("orders", {"pk": "o-1", "by": "Bob"}, condition="attribute_not_exists(pk)")
        tx.emit("invoice.created", {"invoice": "i-1"})

    sandbox.drain()
    assert told == []
    assert _item("o-2") is None
    assert caught.value.item == {"pk": "o-1", "by": "Ada"}


def test_events_after_a_rolled_back_transaction_are_published(sandbox: Sandbox) -> None:
    for invoice, condition in (("i-1", None), ("i-2", "attribute_exists(nothing)"), ("i-3", None)):
        with suppress(ConditionFailedError), celeriac.transaction() as tx:
            tx.emit("invoice.created", {"invoice": invoice}, aggregate=invoice)
            tx.put("orders", {"pk": invoice}, condition=condition)
        sandbox.drain()
    assert {invoice for _, invoice in told} == {"i-1", "i-3"}


def test_a_task_enqueued_in_a_transaction_is_sent_only_if_it_commits(sandbox: Sandbox) -> None:
    with pytest.raises(ZeroDivisionError), celeriac.transaction() as tx:
        tx.enqueue(remind, invoice="lost")
        raise ZeroDivisionError
    with celeriac.transaction() as tx:
        tx.enqueue(remind, invoice="kept")

    sandbox.drain()
    assert told == [("remind", "kept")]


def test_a_transaction_updates_deletes_and_checks(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.put("orders", {"pk": "o-1", "paid": False})
        tx.put("orders", {"pk": "o-2"})
    with celeriac.transaction() as tx:
        tx.update("orders", key={"pk": "o-1"}, set={"paid": True}, condition="attribute_exists(pk)")
        tx.delete("orders", key={"pk": "o-2"})
        tx.check("payments", key={"pk": "p-1"}, condition="attribute_not_exists(pk)")
    assert _item("o-1") == {"pk": {"S": "o-1"}, "paid": {"BOOL": True}}
    assert _item("o-2") is None


def test_a_tasks_transaction_commits_its_effects_and_its_success_together(sandbox: Sandbox) -> None:
    @task(shop, key="order")
    def pay(ctx: Context, order: str) -> None:
        told.append(("pay", order))
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": order}, condition="attribute_not_exists(pk)")

    pay.enqueue(order="o-1")
    sandbox.crash_at(2, after=True)  # the worker dies right after the commit
    sandbox.drain()

    assert told == [("pay", "o-1")]
    assert _item("o-1") is not None
    assert sandbox.dead_letters(shop) == []


@pytest.mark.parametrize("error", [ConnectionError, Reject])
def test_an_error_after_the_commit_neither_retries_nor_dead_letters_the_task(
    sandbox: Sandbox, error: type[Exception]
) -> None:
    @task(shop)
    def pay(ctx: Context) -> None:
        told.append(("pay", ""))
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": "o-1"})
        raise error

    handle = pay.enqueue()
    sandbox.drain()
    assert told == [("pay", "")]
    assert sandbox.dead_letters(shop) == []
    assert handle.status().state == "succeeded"


def test_a_second_transaction_in_one_run_is_refused(sandbox: Sandbox) -> None:
    @task(shop)
    def pay(ctx: Context) -> None:
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": "o-1"})
        with pytest.raises(TransactionError, match="put all writes into one"), ctx.transaction():
            pass
        told.append(("pay", "refused"))

    pay.enqueue()
    sandbox.drain()
    assert told == [("pay", "refused")]


def test_a_transaction_within_a_transaction_is_refused_before_it_commits(sandbox: Sandbox) -> None:
    @task(shop, retry=Backoff(attempts=1))
    def pay(ctx: Context) -> None:
        with ctx.transaction() as outer:
            outer.put("orders", {"pk": "outer"})
            with ctx.transaction() as inner:
                inner.put("orders", {"pk": "inner"})

    pay.enqueue()
    sandbox.drain()
    assert (_item("outer"), _item("inner")) == (None, None)
    (letter,) = sandbox.dead_letters(shop)
    assert letter.failure is not None
    assert "put all writes into one" in letter.failure.message


def test_a_transaction_that_was_rolled_back_may_be_followed_by_another(sandbox: Sandbox) -> None:
    @task(shop)
    def pay(ctx: Context) -> None:
        with suppress(ConditionFailedError), ctx.transaction() as tx:
            tx.put("orders", {"pk": "first"}, condition="attribute_exists(pk)")
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": "second"})

    pay.enqueue()
    sandbox.drain()
    assert _item("second") is not None


def test_a_task_enqueued_in_a_transaction_keeps_its_options(sandbox: Sandbox) -> None:
    start = sandbox.now
    with celeriac.transaction() as tx:
        tx.enqueue(note.options(delay=timedelta(days=3), key="k"), text="late")
        tx.enqueue(note.options(delay=timedelta(minutes=5), group="tenant-7"), text="soon")
        tx.enqueue(ordered.options(group="g"), text="in order")
    sandbox.drain()
    assert told == [("in order", "g"), ("soon", "tenant-7"), ("late", "note:k")]
    assert sandbox.now - start >= timedelta(days=3)
    with pytest.raises(ValueError, match="is FIFO, enqueue it with"), celeriac.transaction() as tx:
        tx.enqueue(ordered, text="no group")


def test_a_transaction_may_enqueue_nothing_but_a_task_with_a_long_delay(sandbox: Sandbox) -> None:
    """The relay makes only a schedule for this task. There is no message to send to the queue."""
    with celeriac.transaction() as tx:
        tx.enqueue(note.options(delay=timedelta(days=3), key="k"), text="late")
    sandbox.drain()
    assert told == [("late", "note:k")]


def test_too_many_actions_in_a_transaction_are_refused_with_the_limit(sandbox: Sandbox) -> None:
    with pytest.raises(TransactionError, match=r"101 actions, .* which takes 100"), celeriac.transaction() as tx:
        for number in range(101):
            tx.put("orders", {"pk": f"o-{number}"})
    assert sandbox.calls == {}


def test_the_relay_stops_at_the_first_event_it_cannot_publish_and_continues_there(sandbox: Sandbox) -> None:
    with out_of_reach("sqs", "SendMessageBatch", calls=range(1, 2)):
        for number in range(3):
            with celeriac.transaction() as tx:
                tx.emit("entry.made", {"text": f"{number}"}, aggregate="account")
        sandbox.drain()
    assert told == [("0", "account"), ("1", "account"), ("2", "account")]


def test_an_event_that_was_deleted_before_it_was_marked_stays_deleted(sandbox: Sandbox) -> None:
    def delete(**_: object) -> None:
        table = "celeriac-test--outbox"
        for item in client("dynamodb").scan(TableName=table)["Items"]:
            client("dynamodb").delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})

    with registered("sqs", "before-call.sqs.SendMessageBatch", delete):
        with celeriac.transaction() as tx:
            tx.emit("invoice.created", {"invoice": "i-1"})
        sandbox.drain()
    assert len(told) == 2
    assert client("dynamodb").scan(TableName="celeriac-test--outbox")["Count"] == 0


def test_a_task_that_is_rejected_in_its_transaction_writes_nothing(sandbox: Sandbox) -> None:
    @task(shop)
    def pay(ctx: Context) -> None:
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": "o-1"})
            raise Reject("the card is blocked")

    pay.enqueue()
    sandbox.drain()
    assert _item("o-1") is None
    assert len(sandbox.dead_letters(shop)) == 1


def _item(key: str) -> object:
    return client("dynamodb").get_item(TableName="celeriac-test--orders", Key={"pk": {"S": key}}).get("Item")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"total": Decimal("9.90")}, "`data.total` was passed as Decimal and would arrive as str"),
        ({"lines": [{"ids": (1, 2)}]}, "`data.lines[0].ids` was passed as tuple and would arrive as list"),
        ({"day": date(2026, 1, 1)}, "`data.day` was passed as date"),
        ({"by": {1: "a"}}, "`data.by` has a key that was passed as int"),
        ({"ratio": float("nan")}, "`data.ratio` is nan, which JSON can't say"),
        ({"thing": object()}, "its data can't be written as JSON"),
    ],
)
def test_an_events_data_are_plain_json(sandbox: Sandbox, data: dict[str, object], problem: str) -> None:
    with pytest.raises(TransactionError, match=re.escape(problem)), celeriac.transaction() as tx:
        tx.put("orders", {"pk": "o-9"})
        tx.emit("invoice.created", data)
    assert _item("o-9") is None


def test_every_way_to_enqueue_refuses_an_argument_that_json_would_change(sandbox: Sandbox) -> None:
    problem = "`invoice` was passed as date and would arrive as str: annotate the parameter with date"
    wrong: Any = date(2026, 1, 1)
    with pytest.raises(InvalidArgumentsError, match=problem):
        remind.enqueue(wrong)
    with pytest.raises(InvalidArgumentsError, match=problem):
        remind.enqueue_many([{"invoice": "i-1"}, {"invoice": wrong}])
    with pytest.raises(InvalidArgumentsError, match=problem), celeriac.transaction() as tx:
        tx.enqueue(remind, invoice=wrong)
    sandbox.drain()
    assert told == []
