"""What a transaction can't hold is refused before the call, by a TransactionError that says where it is."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr

import celeriac
from celeriac import TransactionError
from celeriac.aws.client import client
from celeriac.enqueue import action
from celeriac.enqueue.transaction import Transaction
from celeriac.testing import Sandbox

pytestmark = pytest.mark.usefixtures("sandbox")


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(40):
        value = [value]
    return value


REFUSED = [
    (1.5, r'is a float, .* write Decimal\("1.5"\)'),
    (float("nan"), "is nan, and DynamoDB has no such number"),
    (float("-inf"), "is -inf, and DynamoDB has no such number"),
    (Decimal("NaN"), "is NaN, and DynamoDB has no such number"),
    (Decimal("Infinity"), "is Infinity, and DynamoDB has no such number"),
    (10**38 + 1, "has more than the 38 digits"),
    (10**500 + 1, "has more than the 38 digits"),
    (Decimal("0." + "1" * 39), "has more than the 38 digits"),
    (10**126, "is beyond DynamoDB's numbers"),
    (Decimal("-1E+126"), "is beyond DynamoDB's numbers"),
    (Decimal("1E-131"), "is beyond DynamoDB's numbers"),
    (datetime(2026, 1, 1, tzinfo=UTC), r"is a datetime: .* \.isoformat\(\)"),
    (datetime(2026, 1, 1), r"is a datetime: .* \.isoformat\(\)"),  # noqa: DTZ001 - the test needs a naive datetime
    (date(2026, 1, 1), r"is a date: .* \.isoformat\(\)"),
    (time(12), r"is a time: .* \.isoformat\(\)"),
    (timedelta(hours=1), "is a timedelta: write its seconds"),
    (uuid.UUID(int=7), r"is a UUID: .* str\(value\)"),
    (Colour.RED, "is a Colour: write its .value"),
    (set(), "is an empty set"),
    (frozenset(), "is an empty set"),
    ({1, "a"}, "is a mixed set"),
    ({b"a", "a"}, "is a mixed set"),
    ({Colour.RED}, "is a Colour"),
    ({1.5}, "is a float"),
    ({None}, "is a NoneType: a set holds only texts"),
    ({True}, "is a bool: a set holds only texts"),
    ({(1, 2)}, "is a tuple"),
    (Point(1), "is a Point: DynamoDB holds texts"),
    (object(), "is a object: DynamoDB holds texts"),
    (range(3), "is a range: DynamoDB holds texts"),
    ({1: "a"}, "has a name that is a int: names are texts"),
    ("a\ud800", "half of a surrogate pair"),
    (_deep(), "nested more than 32 levels deep"),
]


@pytest.mark.parametrize(("value", "problem"), REFUSED)
def test_a_value_that_dynamodb_does_not_store_is_named_with_table_key_and_path(
    sandbox: Sandbox, value: Any, problem: str
) -> None:
    inside = {"lines": [{"price": 1}, {"price": value}]}
    writes: list[Callable[[Transaction], object]] = [
        lambda tx: tx.put("orders", {"pk": "o-7", "order": inside}),
        lambda tx: tx.update("orders", key={"pk": "o-7"}, set={"order": inside}),
        lambda tx: tx.put("celeriac-test--orders", {"pk": "o-7", "order": inside}),
    ]
    for write in writes:
        with (
            pytest.raises(TransactionError, match=rf"(?s)orders, pk='o-7': .*order.lines\[1\].price.* {problem}"),
            celeriac.transaction() as tx,
        ):
            write(tx)
    assert sandbox.calls == {}


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda tx: tx.put("orders", {"total": 5}), "put into orders: the key pk is missing"),
        (lambda tx: tx.put("orders", {"pk": ""}), "put into orders, pk='': the key pk must have 1 to 2048 bytes"),
        (lambda tx: tx.put("orders", {"pk": "x" * 2049}), "the key pk must have 1 to 2048 bytes"),
        (lambda tx: tx.put("orders", {"pk": 5}), "put into orders, pk=5: the key pk is '5': a key is a text"),
        (lambda tx: tx.put("orders", {"pk": "a", "": 1}), "pk='a': the item has an attribute named '': names"),
        (lambda tx: tx.put("orders", [1]), "put into orders: a list, write a dict of attributes"),
        (lambda tx: tx.delete("orders", key={"pk": ""}), "delete from orders, pk='': the key pk must have 1 to 2048"),
        (lambda tx: tx.delete("orders", key={"pk": 1.5}), "delete from orders, pk=1.5: pk is a float"),
        (lambda tx: tx.delete("orders", key={"id": "a"}), "the key of orders is pk alone"),
        (lambda tx: tx.delete("orders", key={"pk": "a", "sk": "b"}), "the key of orders is pk alone"),
        (lambda tx: tx.delete("theirs", key={"pk": "a", "sk": b""}), "the key sk must have 1 to 2048 bytes"),
        (lambda tx: tx.delete("theirs", key={"pk": True}), "the key pk is True: a key is a text, a number or bytes"),
        (lambda tx: tx.update("orders", key={"pk": "a"}, set={"pk": "b"}), "pk='a': pk is the item's key, which never"),
        (lambda tx: tx.update("orders", key={"pk": "a"}, set={"n": 1}, add={"n": 1}), "n is in set= and in add="),
        (lambda tx: tx.update("orders", key={"pk": "a"}, add={"n": "1"}), "pk='a': n in add= is a str: add a number"),
        (lambda tx: tx.update("orders", key={"pk": "a"}, add={"n": 1.5}), r"pk='a': n is a float"),
        (
            lambda tx: tx.check("orders", key={"pk": "a"}, condition=Attr("n").gt(1.5)),
            "check of orders, pk='a': a value in its condition is a float",
        ),
        (lambda tx: tx.emit("happened", {}, aggregate="\ud800"), "event 'happened': .*surrogates"),
        (lambda tx: tx.emit("\ud800", {}), "event '.*': type has half of a surrogate pair"),
    ],
)
def test_an_action_that_dynamodb_does_not_take_is_refused_with_its_item(
    sandbox: Sandbox, write: Callable[[Transaction], object], problem: str
) -> None:
    with pytest.raises(TransactionError, match=f"(?s){problem}"), celeriac.transaction() as tx:
        write(tx)
    assert sandbox.calls == {}


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (
            lambda tx: tx.put("orders", {"pk": "a"}),
            lambda tx: tx.update("orders", key={"pk": "a"}, set={"n": 1}),
            "action 2, put into orders, and action 4, update of orders, are of one item, pk='a'",
        ),
        (
            lambda tx: tx.put("orders", {"pk": "a", "n": 1}),
            lambda tx: tx.put("celeriac-test--orders", {"pk": "a", "n": 2}),
            "action 2, put into orders, and action 4, put into celeriac-test--orders",
        ),
        (
            lambda tx: tx.check("orders", key={"pk": "a"}, condition="attribute_exists(pk)"),
            lambda tx: tx.delete("orders", key={"pk": "a"}),
            "action 2, check of orders, and action 4, delete from orders",
        ),
        (
            lambda tx: tx.delete("theirs", key={"pk": "a", "sk": 1}),
            lambda tx: tx.put("theirs", {"sk": Decimal("1.0"), "pk": "a", "n": 1}),
            "action 2, delete from theirs, and action 4, put into theirs, are of one item, pk='a', sk=Decimal",
        ),
        (
            lambda tx: tx.put("theirs", {"pk": "a"}),
            lambda tx: tx.put("theirs", {"pk": "a"}),
            "action 2, put into theirs, and action 4, put into theirs",
        ),
    ],
)
def test_two_actions_on_one_item_are_both_named(
    sandbox: Sandbox,
    first: Callable[[Transaction], object],
    second: Callable[[Transaction], object],
    named: str,
) -> None:
    with pytest.raises(TransactionError, match=named), celeriac.transaction() as tx:
        tx.put("orders", {"pk": "b"})
        first(tx)
        tx.emit("order.created", {})
        second(tx)
    assert sandbox.calls == {}


def test_what_only_dynamodb_finds_is_refused_with_the_actions() -> None:
    # Nobody has declared this table's key.
    with (
        pytest.raises(TransactionError, match=r"one item.* 1, put into celeriac-test--idempotency, 2, put into"),
        celeriac.transaction() as tx,
    ):
        tx.put("celeriac-test--idempotency", {"id": "a", "n": 1})
        tx.put("celeriac-test--idempotency", {"id": "a", "n": 2})


def test_a_key_is_compared_digit_by_digit(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.put("celeriac-test--idempotency", {"id": "a", "n": 10**37 + 1})
        tx.put("celeriac-test--idempotency", {"id": "b", "n": 10**37 + 2})
    with pytest.raises(TransactionError, match="one item, n=Decimal"), celeriac.transaction() as tx:
        tx.delete("theirs", key={"n": Decimal(0)})
        tx.put("theirs", {"n": Decimal("-0.0")})
    with pytest.raises(TransactionError, match="DynamoDB refuses"), celeriac.transaction() as tx:
        tx.delete("celeriac-test--idempotency", key={"n": 10**37 + 1})
        tx.delete("celeriac-test--idempotency", key={"n": 10**37 + 2})


def test_the_same_key_in_two_tables_is_two_items(sandbox: Sandbox) -> None:
    with celeriac.transaction() as tx:
        tx.put("orders", {"pk": "a"})
        tx.put("payments", {"pk": "a"})
    assert sandbox.items("payments") == [{"pk": "a"}]


def test_dynamodb_takes_what_is_not_refused(sandbox: Sandbox) -> None:
    item = {
        "pk": "a",
        "empty": "",
        "no bytes": b"",
        "numbers": [0, -1, Decimal("123.40"), 10**40, Decimal("1E-130"), Decimal("9.9E+125"), Decimal("-0")],
        "sets": [{"a", ""}, {1, Decimal("2.5")}, {b"a"}],
        "nested": {"true": True, "none": None, "list": [], "map": {}, "a tuple": (1, "b")},
    }
    with celeriac.transaction() as tx:
        tx.put("orders", item)
    stored = client("dynamodb").get_item(TableName="celeriac-test--orders", Key={"pk": {"S": "a"}})["Item"]
    assert stored["numbers"]["L"][2:4] == [{"N": "123.40"}, {"N": "1E+40"}]
    assert sorted(stored) == sorted(item)


@pytest.mark.parametrize(("row_type", "label"), [("order.created", "event order.created"), ("task:ship", "task ship")])
def test_an_error_names_a_row_of_the_outbox_as_what_it_is(row_type: str, label: str) -> None:
    assert action.row(row_type, "outbox", {"pk": {"S": "a"}}).label == label
