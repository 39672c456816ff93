"""Values in DynamoDB's form, and the size of an item as DynamoDB counts it."""

from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from celeriac.aws.items import item_of, plain, size_of
from celeriac.aws.stored_values import value_of

NUMBERS = st.builds(
    lambda digits, exponent, sign: Decimal(digits).scaleb(exponent) * sign,
    st.integers(1, 10**28 - 1),
    st.integers(-100, 90),
    st.sampled_from([1, -1]),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.text(st.characters(codec="utf-8"))
    | st.binary()
    | st.integers(-(10**37), 10**37)
    | NUMBERS
    | st.sets(st.text(st.characters(codec="utf-8")), min_size=1)
    | st.sets(st.integers(-(10**9), 10**9), min_size=1)
    | st.sets(st.binary(), min_size=1),
    lambda children: st.lists(children) | st.dictionaries(st.text(st.characters(codec="utf-8")), children),
    max_leaves=20,
)


def _size(number: object) -> int:
    return size_of({"": {"N": str(number)}})


@pytest.mark.parametrize(
    ("number", "size"),
    [
        ("0", 2),
        ("1", 2),
        ("-1", 3),
        ("12", 2),
        ("123", 3),
        ("123.4", 4),  # 1, 23 and 4
        ("12.34", 3),
        ("1.234", 4),
        ("0.1", 2),
        ("0.001", 2),
        ("0.0012", 2),
        ("0.00012", 3),
        ("100", 2),
        ("1000", 2),
        ("1E+125", 2),
        ("1E-130", 2),
        ("-" + "9" * 38, 21),
        ("1" + "0" * 40, 2),
        ("00012.3400", 3),
    ],
)
def test_the_size_of_a_number(number: str, size: int) -> None:
    assert _size(number) == size


@given(NUMBERS)
def test_a_number_is_a_byte_for_each_pair_of_its_digits_counted_from_the_point(number: Decimal) -> None:
    """AWS: "1 byte per two significant digits" and 1 byte, and one more for a negative number.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    before, _, behind = format(abs(number), "f").partition(".")
    before, behind = before.lstrip("0"), behind.rstrip("0")
    padded = before.zfill(len(before) + len(before) % 2) + behind + "0" * (len(behind) % 2)
    pairs = [padded[i : i + 2] for i in range(0, len(padded), 2)]
    while pairs[0] == "00":
        del pairs[0]
    while pairs[-1] == "00":
        del pairs[-1]
    assert _size(number) == len(pairs) + 1 + (number < 0)
    significant = len("".join(map(str, number.as_tuple().digits)).strip("0"))
    assert _size(number) >= (significant + 1) // 2 + 1 + (number < 0)


@given(VALUES)
def test_values_are_stored_as_boto3_stores_them(value: Any) -> None:
    assert value_of(value) == TypeSerializer().serialize(value)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), VALUES, min_size=1))
def test_an_item_comes_back_as_it_was(item: dict[str, Any]) -> None:
    assert plain(item_of(item)) == item
    assert size_of(item_of(item)) >= sum(len(name.encode()) for name in item)
