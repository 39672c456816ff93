"""Which events match a pattern. The expectations are those of EventBridge's documentation."""

from typing import Any

import pytest
from moto.events.models import EventPattern

from celeriac.model.event_pattern import problems
from celeriac.testing.event_patterns import matches

EVENT: dict[str, Any] = {
    "source": "aws.s3",
    "resources": ["arn:aws:s3:::photos", "arn:aws:s3:::others"],
    "detail": {
        "key": "uploads/Cat.PNG",
        "size": 5,
        "ratio": 2.5,
        "done": True,
        "nothing": None,
        "empty": "",
        "ip": "10.0.0.7",
        "six": "2001:db8::1",
        "star": "a*b",
        "tags": [],
        "words": ["red", "green"],
        "inner": {"a": 1},
        "label.io/name": "web",
        "parts": [{"n": 1, "name": "x"}, {"n": 2, "name": "y"}],
    },
}
CASES: list[tuple[str, list[Any], bool]] = [
    ("key", ["uploads/Cat.PNG"], True),
    ("key", ["uploads/cat.png"], False),
    ("key", ["other", "uploads/Cat.PNG"], True),
    ("missing", ["x"], False),
    ("size", [5], True),
    ("size", [5.0], True),
    ("size", ["5"], False),
    ("done", [True], True),
    ("done", [1], False),
    ("size", [True], False),
    ("empty", [""], True),
    ("words", ["green", "blue"], True),
    ("words", ["blue"], False),
    ("key", [{"prefix": "uploads/"}], True),
    ("key", [{"prefix": "Uploads/"}], False),
    ("key", [{"prefix": {"equals-ignore-case": "UPLOADS/"}}], True),
    ("size", [{"prefix": "5"}], False),
    ("key", [{"suffix": ".PNG"}], True),
    ("key", [{"suffix": ".jpg"}, {"suffix": ".PNG"}], True),
    ("key", [{"suffix": {"equals-ignore-case": ".png"}}], True),
    ("words", [{"suffix": "n"}], True),
    ("missing", [{"suffix": "n"}], False),
    ("nothing", [{"suffix": "n"}], False),
    ("key", [{"equals-ignore-case": "UPLOADS/CAT.PNG"}], True),
    ("key", [{"equals-ignore-case": "CAT.PNG"}], False),
    ("key", [{"wildcard": "uploads/*.PNG"}], True),
    ("key", [{"wildcard": "*uploads/Cat.PNG*"}], True),  # a star is an empty text too
    ("key", [{"wildcard": "uploads/.PNG"}], False),
    ("star", [{"wildcard": r"a\*b"}], True),
    ("key", [{"wildcard": r"uploads\*"}], False),
    ("size", [{"numeric": ["=", 5]}], True),
    ("size", [{"numeric": [">", 0, "<=", 5]}], True),
    ("size", [{"numeric": [">", 5]}], False),
    ("ratio", [{"numeric": ["<", 2.6]}], True),
    ("key", [{"numeric": [">", 0]}], False),
    ("done", [{"numeric": ["=", 1]}], False),
    ("size", [{"exists": True}], True),
    ("empty", [{"exists": True}], True),
    ("nothing", [{"exists": True}], True),
    ("missing", [{"exists": True}], False),
    ("missing", [{"exists": False}], True),
    ("size", [{"exists": False}], False),
    ("missing", ["x", {"exists": False}], True),
    ("key", [{"anything-but": "x"}], True),
    ("key", [{"anything-but": "uploads/Cat.PNG"}], False),
    ("key", [{"anything-but": ["x", "uploads/Cat.PNG"]}], False),
    ("size", [{"anything-but": [1, 2]}], True),
    ("nothing", [{"anything-but": "x"}], True),
    ("missing", [{"anything-but": "x"}], False),
    ("words", [{"anything-but": "red"}], True),  # green isn't red
    ("words", [{"anything-but": ["red", "green"]}], False),
    ("key", [{"anything-but": {"prefix": "uploads/"}}], False),
    ("key", [{"anything-but": {"prefix": ["a", "b"]}}], True),
    ("key", [{"anything-but": {"suffix": ".jpg"}}], True),
    ("key", [{"anything-but": {"equals-ignore-case": ["uploads/cat.png"]}}], False),
    ("key", [{"anything-but": {"wildcard": "*Cat*"}}], False),
    ("ip", [{"cidr": "10.0.0.0/24"}], True),
    ("ip", [{"cidr": "10.0.1.0/24"}], False),
    ("six", [{"cidr": "2001:db8::/32"}], True),
    ("ip", [{"cidr": "2001:db8::/32"}], False),
    ("key", [{"cidr": "10.0.0.0/24"}], False),
]
# An object and an empty list have no value of their own: https://github.com/aws/event-ruler#exists-matching
OF_RULER: list[tuple[str, list[Any], bool]] = [
    ("inner", [{"exists": True}], False),
    ("inner", [{"exists": False}], True),
    ("tags", [{"exists": True}], False),
    ("tags", [{"exists": False}], True),
    ("tags", [{"anything-but": "x"}], False),
]
# moto differs from EventBridge in these: Python says that True is 1.
NOT_IN_MOTO = [("done", [1]), ("size", [True]), ("done", [{"numeric": ["=", 1]}])]


@pytest.mark.parametrize(("field", "values", "expected"), CASES + OF_RULER)
def test_a_field_matches_as_in_eventbridge(field: str, values: list[Any], *, expected: bool) -> None:
    pattern = {"detail": {field: values}}
    assert list(problems(pattern)) == []
    assert matches(pattern, EVENT) is expected


@pytest.mark.parametrize(
    ("field", "values", "expected"), [case for case in CASES if (case[0], case[1]) not in NOT_IN_MOTO]
)
def test_another_implementation_says_the_same(field: str, values: list[Any], *, expected: bool) -> None:
    """moto's own rules, written by others, are the check of the expectations."""
    pattern = {"detail": {field: values}}
    assert EventPattern(None, pattern).matches_event(EVENT) is expected  # type: ignore[arg-type]  # a shortened event


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"source": ["aws.s3"], "detail": {"size": [5]}}, True),
        ({"source": ["aws.ec2"], "detail": {"size": [5]}}, False),
        ({"source": ["aws.s3"], "detail": {"size": [6]}}, False),
        ({"resources": ["arn:aws:s3:::photos"]}, True),
        ({"$or": [{"source": ["aws.ec2"]}, {"detail": {"size": [5]}}]}, True),
        ({"$or": [{"source": ["aws.ec2"]}, {"detail": {"size": [6]}}]}, False),
        ({"source": ["aws.ec2"], "$or": [{"detail": {"size": [5]}}, {"detail": {"size": [6]}}]}, False),
        ({"detail": {"$or": [{"size": [6]}, {"done": [True]}]}}, True),
        ({"detail": {"missing": {"deeper": ["x"]}}}, False),
        ({"detail": {"missing": {"deeper": [{"exists": False}]}}}, True),
        ({"detail": {"size": {"deeper": ["x"]}}}, False),
        ({"detail": {"inner": {"a": [1]}}}, True),
        ({"detail": {"inner.a": [1]}}, True),  # a dot is as good as a dict
        ({"detail.inner": {"a": [2]}}, False),
        ({"detail.size": [5], "detail": {"inner": {"a": [1]}}}, True),
        ({"detail.size": [6], "detail": {"inner": {"a": [1]}}}, False),
        ({"detail": {"label": {"io/name": ["web"]}}}, True),
        ({"detail": {"label.io/name": ["db"]}}, False),
        ({"detail": {"parts": {"n": [2]}}}, True),
        ({"detail": {"parts": {"n": [2], "name": ["y"]}}}, True),
        ({"detail": {"parts": {"n": [2], "name": ["x"]}}}, False),  # of two objects
    ],
)
def test_all_fields_must_match_and_one_of_an_or(pattern: dict[str, Any], *, expected: bool) -> None:
    assert list(problems(pattern)) == []
    assert matches(pattern, EVENT) is expected
