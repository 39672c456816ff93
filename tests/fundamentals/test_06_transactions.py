"""Chapter 6: a transaction writes items, events and follow-up tasks together with the task's success, or nothing."""

import pytest

import celeriac
from celeriac import ConditionFailedError, Context, Queue, task
from celeriac.testing import Sandbox

shop = Queue("chapter-6")
mailed: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    mailed.clear()


@task(shop, key="order")
def place_order(ctx: Context, order: str, total: int) -> None:
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": order, "total": total}, condition="attribute_not_exists(pk)")
        tx.emit("chapter.order.placed", {"order": order}, aggregate=order)


@task(shop, on="chapter.order.placed")
def mail_receipt(order: str) -> None:
    mailed.append(order)


def test_an_event_reaches_every_task_that_subscribed(sandbox: Sandbox) -> None:
    place_order.enqueue("o-1", total=5)
    sandbox.drain()
    assert [item["pk"] for item in sandbox.items("orders")] == ["o-1"]
    assert mailed == ["o-1"]


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("after", [False, True])
def test_wherever_the_worker_dies_there_is_one_order_and_one_receipt(sandbox: Sandbox, call: int, after: bool) -> None:  # noqa: FBT001
    place_order.enqueue("o-2", total=5)
    sandbox.crash_at(call, after=after)
    sandbox.drain()
    assert [item["pk"] for item in sandbox.items("orders")] == ["o-2"]
    assert mailed == ["o-2"]


def test_no_event_is_published_for_a_transaction_that_was_rolled_back(sandbox: Sandbox) -> None:
    with pytest.raises(RuntimeError), celeriac.transaction() as tx:
        tx.emit("chapter.order.placed", {"order": "o-3"}, aggregate="o-3")
        raise RuntimeError
    sandbox.drain()
    assert mailed == []


def test_a_condition_that_fails_writes_nothing(sandbox: Sandbox) -> None:
    with pytest.raises(ConditionFailedError) as failed, celeriac.transaction() as tx:
        tx.put("orders", {"pk": "o-4"}, condition="attribute_exists(pk)")
        tx.emit("chapter.order.placed", {"order": "o-4"}, aggregate="o-4")
    sandbox.drain()
    assert failed.value.item is None  # what is there instead: nothing
    assert (sandbox.items("orders"), mailed) == ([], [])


def test_a_transaction_can_enqueue_too(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.enqueue(place_order, "o-5", total=1)
    sandbox.drain()
    assert mailed == ["o-5"]
