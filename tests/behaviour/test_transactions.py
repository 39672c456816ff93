"""What a transaction can hold, its limits, and what happens if other writers change the same items."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr
from botocore.exceptions import ClientError

import celeriac
from celeriac import ConditionFailedError, Context, Queue, TransactionError, task
from celeriac.aws.client import client
from celeriac.aws.items import item_of, size_of
from celeriac.testing import Sandbox
from tests.support.faults import registered

bank = Queue("bank", batch_size=10)


@task(bank, key="transfer")
def move(ctx: Context, transfer: str, amount: int) -> None:
    with ctx.transaction() as tx:
        tx.update("orders", key={"pk": "a"}, add={"balance": -amount}, condition=Attr("balance").gte(amount))
        tx.update("orders", key={"pk": "b"}, add={"balance": amount})


@pytest.fixture
def accounts(sandbox: Sandbox) -> Sandbox:
    with celeriac.transaction() as tx:
        tx.put("orders", {"pk": "a", "balance": 10})
        tx.put("orders", {"pk": "b", "balance": 0})
    return sandbox


def _balances() -> tuple[int, int]:
    items = (_item("orders", pk) for pk in "ab")
    a, b = (int(item["balance"]["N"]) for item in items)
    return a, b


def _item(table: str, pk: str) -> Any:
    return client("dynamodb").get_item(TableName=f"celeriac-test--{table}", Key={"pk": {"S": pk}})["Item"]


@contextmanager
def canceled(*codes: str, times: int) -> Iterator[list[str]]:
    """Let DynamoDB cancel the first `times` transactions with these reasons. Each call's body, with its token, is added
    to the list.
    """
    tokens: list[str] = []

    def cancel(params: dict[str, Any], **_: object) -> Any:
        tokens.append(str(params["body"]))
        if len(tokens) > times:
            return None
        error = {"Code": "TransactionCanceledException", "Message": "canceled"}
        reasons = [{"Code": code} for code in codes]
        return type("Answer", (), {"status_code": 400}), {"Error": error, "CancellationReasons": reasons}

    with registered("dynamodb", "before-call.dynamodb.TransactWriteItems", cancel):
        yield tokens


def test_an_update_adds_to_numbers_under_a_condition(accounts: Sandbox) -> None:
    move.enqueue("t-1", amount=7)
    accounts.drain()
    assert _balances() == (3, 7)


def test_the_error_of_a_failed_condition_has_the_item_that_is_stored(accounts: Sandbox) -> None:
    with pytest.raises(ConditionFailedError, match="update of orders") as caught, celeriac.transaction() as tx:
        tx.update("orders", key={"pk": "a"}, add={"balance": -11}, condition=Attr("balance").gte(11))
    assert caught.value.item == {"pk": "a", "balance": Decimal(10)}
    assert _balances() == (10, 0)


def test_the_first_of_several_failed_conditions_is_named(accounts: Sandbox) -> None:
    with (
        pytest.raises(ConditionFailedError, match="action 2, update of orders") as caught,
        celeriac.transaction() as tx,
    ):
        tx.update("orders", key={"pk": "b"}, add={"balance": 1}, condition="attribute_exists(pk)")
        tx.update("orders", key={"pk": "a"}, add={"balance": 1}, condition=Attr("balance").gte(11))
        tx.update("orders", key={"pk": "c"}, add={"balance": 1}, condition="attribute_exists(pk)")
    assert caught.value.item == {"pk": "a", "balance": Decimal(10)}


def test_a_transaction_cannot_be_entered_twice(sandbox: Sandbox) -> None:
    transaction = celeriac.transaction()
    with transaction as tx:
        tx.put("orders", {"pk": "a"})
    with pytest.raises(TransactionError, match="entered once"), transaction:
        pass


@pytest.mark.parametrize(
    ("data", "aggregate", "cure"),
    [([1], None, "write a dict of its fields"), ({}, "", "1 to 1024 bytes"), ({}, "ä" * 513, "1 to 1024 bytes")],
)
def test_an_event_that_could_not_be_published_is_refused(
    sandbox: Sandbox, data: Any, aggregate: str | None, cure: str
) -> None:
    with pytest.raises(TransactionError, match=cure), celeriac.transaction() as tx:
        tx.emit("order.created", data, aggregate=aggregate)


def test_the_size_of_an_item_is_computed_as_dynamodb_does() -> None:
    assert size_of(item_of({"pk": "ab", "n": 1234567, "b": b"abc", "m": {"x": [True, None]}})) == (
        2 + 2 + (1 + 5) + (1 + 3) + (1 + 3 + 1 + 1 + 3 + 2 * (1 + 1))
    )
    assert size_of(item_of({"l": list(range(19_000))})) < 100_000
    assert size_of(item_of({"s": {"ab", "c"}, "t": {1, -22}})) == 1 + 3 + 1 + (2 + 3)


def test_an_update_that_changes_nothing_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(TransactionError, match="update of orders that changes nothing"), celeriac.transaction() as tx:
        tx.update("orders", key={"pk": "a"})


@pytest.mark.parametrize("reason", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transient_cancellation_is_tried_again_as_the_same_transaction(accounts: Sandbox, reason: str) -> None:
    start = accounts.now
    with canceled("None", reason, "None", times=3) as bodies:
        move.enqueue("t-1", amount=7)
        accounts.drain()
    assert _balances() == (3, 7)
    assert len(bodies) == 4
    assert len(set(bodies)) == 1  # the same actions with the same token
    assert 0.3 < (accounts.now - start).total_seconds() < 1


def test_a_lasting_conflict_fails_the_attempt_and_the_task_is_tried_again(accounts: Sandbox) -> None:
    with canceled("TransactionConflict", "None", "None", times=6) as bodies:
        handle = move.enqueue("t-1", amount=7)
        accounts.drain()
    assert len(bodies) == 6 + 1
    assert [bodies.count(body) for body in dict.fromkeys(bodies)] == [6, 1]  # the second attempt is another transaction
    assert _balances() == (3, 7)
    assert handle.status().attempts == 2


def test_a_transaction_refused_permanently_is_not_tried_again(accounts: Sandbox) -> None:
    with canceled("ValidationError", times=1) as bodies, pytest.raises(ClientError), celeriac.transaction() as tx:
        tx.put("orders", {"pk": "c"})
    assert len(bodies) == 1


def test_a_throttled_transaction_whose_condition_fails_is_not_tried_again(accounts: Sandbox) -> None:
    with (
        canceled("ConditionalCheckFailed", "TransactionConflict", times=1) as bodies,
        pytest.raises(ConditionFailedError),
        celeriac.transaction() as tx,
    ):
        tx.put("orders", {"pk": "a"}, condition="attribute_not_exists(pk)")
        tx.put("orders", {"pk": "c"})
    assert len(bodies) == 1


def test_too_many_bytes_in_a_transaction_are_refused_before_the_call(sandbox: Sandbox) -> None:
    with pytest.raises(TransactionError, match=r"which takes 4194304 \(4 MB\)"), celeriac.transaction() as tx:
        for number in range(11):
            tx.put("orders", {"pk": f"{number}", "bulk": "x" * 400_000})
    assert sandbox.calls == {}


@pytest.mark.parametrize(
    "write",
    [
        lambda tx: tx.put("orders", {"pk": "a", "bulk": "x" * 410_000}),
        lambda tx: tx.emit("order.created", {"bulk": "x" * 408_000}),
        lambda tx: tx.update("orders", key={"pk": "a"}, set={"bulk": "x" * 410_000}),
    ],
    ids=["item", "event", "update"],
)
def test_an_item_that_dynamodb_cannot_hold_is_refused_with_its_limit(sandbox: Sandbox, write: Any) -> None:
    with pytest.raises(TransactionError, match=r"holds 409600 \(400 KB\)"), celeriac.transaction() as tx:
        write(tx)
    assert sandbox.calls == {}


def test_a_table_can_be_named_by_its_physical_name(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.put("celeriac-test--payments", {"pk": "p-1"})
    assert _item("payments", "p-1") == {"pk": {"S": "p-1"}}
