"""An order, its event, and the payment and the e-mail that follow."""

import boto3
import pytest

from celeriac.aws.client import client
from celeriac.testing import Sandbox
from celeriac_local.provider.server import Provider
from tasks import tables
from tasks.orders import place_order
from tasks.payments import process_payment
from tasks.queues import emails, orders, payments


def _order(order_id: str) -> object:
    return (
        client("dynamodb")
        .get_item(TableName=tables.orders.physical_name("test"), Key={"pk": {"S": order_id}})
        .get("Item")
    )


def _mails() -> int:
    return int(boto3.client("ses").get_send_quota()["SentLast24Hours"])


def test_an_order_is_charged_once_marked_as_paid_and_confirmed(sandbox: Sandbox, provider: Provider) -> None:
    place_order.enqueue(order_id="o-1", email="ada@example.org", amount_cents=500)
    place_order.enqueue(order_id="o-1", email="ada@example.org", amount_cents=500)  # a double click
    sandbox.drain()

    (charge,) = provider.charges
    assert (charge.order_id, charge.amount_cents, charge.key) == ("o-1", 500, "process_payment:payment-o-1")
    assert _order("o-1") == {
        "pk": {"S": "o-1"},
        "email": {"S": "ada@example.org"},
        "amount_cents": {"N": "500"},
        "paid": {"BOOL": True},
    }
    assert _mails() == 1
    assert [sandbox.dead_letters(queue) for queue in (orders, payments, emails)] == [[], [], []]


@pytest.mark.parametrize(
    ("amount", "what"), [(10_429, "busy"), (10_503, "unavailable"), (10_504, "charged, and silent about it")]
)
def test_a_payment_is_charged_once_in_spite_of_a_failing_provider(
    sandbox: Sandbox, provider: Provider, amount: int, what: str
) -> None:
    process_payment.enqueue(payment_id="p-1", order_id="o-1", amount_cents=amount)
    sandbox.drain()

    assert [charge.amount_cents for charge in provider.charges] == [amount], what
    assert sandbox.dead_letters(payments) == []


def test_a_declined_card_is_a_dead_letter_and_leaves_the_order_unpaid(sandbox: Sandbox, provider: Provider) -> None:
    place_order.enqueue(order_id="o-1", email="ada@example.org", amount_cents=1_402)
    sandbox.drain()

    assert provider.charges == []
    (letter,) = sandbox.dead_letters(payments)
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.message) == ("rejected", "card declined")
    assert '"paid": {"BOOL": false}' in str(_order("o-1")).replace("'", '"').replace("False", "false")


@pytest.mark.every_fault
def test_an_order_is_charged_once_whatever_happens_to_a_call(sandbox: Sandbox, provider: Provider) -> None:
    """A mail may be sent twice: SES takes no idempotency key."""
    place_order.enqueue(order_id="o-1", email="ada@example.org", amount_cents=500)
    sandbox.drain()

    assert [charge.amount_cents for charge in provider.charges] == [500]
    assert [payment["order_id"] for payment in sandbox.items("payments")] == ["o-1"]
    assert [order["paid"] for order in sandbox.items("orders")] == [True]
    assert _mails() >= 1
    assert [sandbox.dead_letters(queue) for queue in (orders, payments, emails)] == [[], [], []]


def test_a_request_that_the_provider_refuses_is_not_sent_again(sandbox: Sandbox, provider: Provider) -> None:
    process_payment.enqueue(payment_id="p-1", order_id="o-1", amount_cents=-5)
    sandbox.drain()
    (letter,) = sandbox.dead_letters(payments)
    assert letter.failure is not None
    assert letter.failure.message == "the provider refuses the request with 400"


def test_an_order_id_that_is_taken_is_a_dead_letter(sandbox: Sandbox, provider: Provider) -> None:
    client("dynamodb").put_item(TableName=tables.orders.physical_name("test"), Item={"pk": {"S": "o-1"}})
    place_order.enqueue(order_id="o-1", email="ada@example.org", amount_cents=500)
    sandbox.drain()

    assert provider.charges == []
    (letter,) = sandbox.dead_letters(orders)
    assert letter.failure is not None
    assert letter.failure.message == "an order of this id exists"
