"""The shop in a sandbox and a database in memory: no AWS, no network, no waiting."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from celeriac.testing import Sandbox
from orders import invoices
from orders.models import Order
from shop_tasks.queues import documents


def post(client: Client, path: str, **content: Any) -> Any:
    return client.post(path, content, content_type="application/json")


def test_an_order_is_placed_and_its_invoice_told_of(client: Client, sandbox: Sandbox) -> None:
    answer = post(client, "/orders", article="cup")
    assert answer.status_code == 201
    assert sandbox.calls == {("sqs", "SendMessage"): 1}
    number = answer.json()["number"]
    assert client.get(f"/orders/{number}").json() == {"state": "waiting", "result": None}

    sandbox.drain()
    sandbox.calls.clear()

    told = {"state": "succeeded", "result": {"file": f"invoices/{number}.pdf"}}
    assert client.get(f"/orders/{number}").json() == told
    assert sandbox.calls == {("dynamodb", "GetItem"): 1}


def test_an_order_that_is_rolled_back_sends_nothing(client: Client, sandbox: Sandbox) -> None:
    assert post(client, "/orders", article="fork").status_code == 422
    assert (Order.objects.count(), sandbox.calls) == (0, {})


def test_an_order_whose_task_was_not_sent_is_sent_later_once(
    client: Client, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(**_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(invoices, "make_invoice", type("Unreachable", (), {"enqueue": staticmethod(unreachable)}))
        assert post(client, "/orders", article="cup").status_code == 201  # it is committed, so it is an order
    assert sandbox.calls == {}
    call_command("send_waiting", verbosity=0)
    assert sandbox.calls == {}  # a request may be about to send it

    sandbox.advance(timedelta(minutes=2))
    call_command("send_waiting")
    call_command("send_waiting")

    assert sandbox.calls == {("sqs", "SendMessage"): 1}


def test_an_order_that_is_sent_twice_is_one_invoice(client: Client, sandbox: Sandbox) -> None:
    post(client, "/orders", article="cup")
    Order.objects.update(is_sent=False)  # the process died before it could remember
    sandbox.advance(timedelta(minutes=2))
    invoices.send_waiting()
    sandbox.drain()
    assert sandbox.calls[("sqs", "SendMessage")] == 2
    assert sandbox.calls[("dynamodb", "UpdateItem")] == 1  # one success was recorded
    assert sandbox.dead_letters(documents) == []


def test_a_hold_and_its_event_are_written_together(client: Client, sandbox: Sandbox) -> None:
    assert [post(client, "/holds/h-1", article="cup").status_code for _ in range(2)] == [201, 409]
    assert sandbox.calls == {("dynamodb", "TransactWriteItems"): 2}
    sandbox.drain()
    assert sandbox.items("stock") == [{"pk": "h-1", "article": "cup"}]
    assert sandbox.calls[("sqs", "SendMessageBatch")] == 1  # the event went to `tell_warehouse`
