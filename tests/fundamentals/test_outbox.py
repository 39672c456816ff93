"""The transactional outbox: what is written and what is told of it are one."""

from contextlib import suppress

import pytest

import celeriac
from celeriac import Context, Queue, Reject, task
from celeriac.aws import client
from celeriac.outbox import ConditionFailed, TransactionError
from celeriac.testing import Sandbox

shop = Queue("shop")
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


def test_a_committed_transaction_tells_every_subscriber(sandbox: Sandbox) -> None:
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


def test_a_failed_condition_rolls_everything_back_and_says_which(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.put("orders", {"pk": "o-1", "by": "Ada"})
    with pytest.raises(ConditionFailed, match="put into orders") as caught, celeriac.transaction() as tx:
        tx.put("orders", {"pk": "o-2"})
        tx.put("orders", {"pk": "o-1", "by": "Bob"}, condition="attribute_not_exists(pk)")
        tx.emit("invoice.created", {"invoice": "i-1"})

    sandbox.drain()
    assert told == []
    assert _item("o-2") is None
    assert caught.value.item == {"pk": "o-1", "by": "Ada"}


def test_what_follows_a_rolled_back_transaction_is_told(sandbox: Sandbox) -> None:
    for invoice, condition in (("i-1", None), ("i-2", "attribute_exists(nothing)"), ("i-3", None)):
        with suppress(ConditionFailed), celeriac.transaction() as tx:
            tx.emit("invoice.created", {"invoice": invoice}, aggregate=invoice)
            tx.put("orders", {"pk": invoice}, condition=condition)
        sandbox.drain()
    assert {invoice for _, invoice in told} == {"i-1", "i-3"}


def test_a_task_enqueued_in_a_transaction_leaves_only_with_it(sandbox: Sandbox) -> None:
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


def test_a_tasks_transaction_commits_its_effects_and_its_success_in_one(sandbox: Sandbox) -> None:
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


def test_an_error_after_the_commit_does_not_run_the_task_again(sandbox: Sandbox) -> None:
    @task(shop)
    def pay(ctx: Context) -> None:
        told.append(("pay", ""))
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": "o-1"})
        raise ConnectionError

    pay.enqueue()
    sandbox.drain()
    assert told == [("pay", "")]


def test_a_second_transaction_in_one_run_is_refused(sandbox: Sandbox) -> None:
    @task(shop)
    def pay(ctx: Context) -> None:
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": "o-1"})
        with pytest.raises(TransactionError, match="put both into one"), ctx.transaction():
            pass
        told.append(("pay", "refused"))

    pay.enqueue()
    sandbox.drain()
    assert told == [("pay", "refused")]


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
    return client("dynamodb").get_item(TableName="celeriac-test-orders", Key={"pk": {"S": key}}).get("Item")
