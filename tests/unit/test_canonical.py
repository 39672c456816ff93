"""The canonical form: one for all spellings of a value, and another one for every other value."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.model import canonical

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, width=32)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


def respelled(value: Any, chance: random.Random) -> Any:
    """The same value as another program may spell it."""
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {key: respelled(one, chance) for key, one in items}
    if isinstance(value, list):
        return [respelled(one, chance) for one in value]
    if type(value) is int and float(value) == value and chance.random() < 0.5:
        return float(value)
    return value


def sorted_json(value: Any) -> str:
    """An independent form: JSON as the standard library writes it, with sorted keys and whole numbers as ints."""
    whole = json.loads(json.dumps(value), parse_float=lambda text: int(float(text)) if float(text) % 1 == 0 else text)
    return json.dumps(whole, sort_keys=True)


@given(value=VALUES, seed=st.integers(0, 100))
def test_every_spelling_of_a_value_has_one_form(value: Any, seed: int) -> None:
    other = respelled(value, random.Random(seed))  # noqa: S311 - this randomness decides nothing secret
    assert repr(canonical.whole(canonical.plain(value))) == repr(canonical.whole(canonical.plain(other)))
    assert canonical.hashed({"": value}) == canonical.hashed({"": other})
    assert canonical.is_nothing(canonical.plain(value)) is canonical.is_nothing(canonical.plain(other))


@given(one=VALUES, other=VALUES)
def test_two_values_have_two_forms(one: Any, other: Any) -> None:
    differ = sorted_json([one]) != sorted_json([other])
    assert (canonical.hashed({"": one}) != canonical.hashed({"": other})) is differ


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ({3, 10, 1}, [1, 3, 10]),
        ({"b", 2, "a", 1.5}, [1.5, 2, "a", "b"]),
        ({frozenset({2, 1}), frozenset({0, 5})}, [[0, 5], [1, 2]]),
        ([{"b": {2, 1}, "a": ()}], [{"a": (), "b": [1, 2]}]),
        ({2: "x", 10: "y"}, {"10": "y", "2": "x"}),
    ],
)
def test_sets_and_dicts_are_in_order(value: object, form: object) -> None:
    assert repr(canonical.plain(value)) == repr(form)


def test_a_number_that_no_int_of_64_bits_holds_stays_a_float() -> None:
    assert canonical.whole([1e18, 1e19, -1e300]) == [10**18, 1e19, -1e300]
    assert [type(one) for one in canonical.whole([1e18, 1e19])] == [int, float]
