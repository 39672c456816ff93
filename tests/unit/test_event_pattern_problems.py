"""What EventBridge would refuse in a pattern, said at the declaration."""

from typing import Any

import pytest

from celeriac import AwsEvent
from celeriac.model.aws_event import AwsEventError
from celeriac.model.event_pattern import problems


@pytest.mark.parametrize(
    "values",
    [
        ["a"], [1], [1.5], [True], ["a", 2, False], [""],
        [{"prefix": "a"}], [{"prefix": ""}], [{"prefix": {"equals-ignore-case": "a"}}],
        [{"suffix": ".png"}], [{"suffix": {"equals-ignore-case": ".PNG"}}], [{"suffix": ".png"}, {"suffix": ".jpg"}],
        [{"equals-ignore-case": "a"}], [{"wildcard": "a*b*"}], [{"wildcard": r"a\*\\"}], [{"wildcard": ""}],
        [{"exists": True}], [{"exists": False}], [{"cidr": "10.0.0.0/24"}], [{"cidr": "2001:db8::/32"}],
        [{"numeric": ["=", 5]}], [{"numeric": ["<", 1e9]}], [{"numeric": [">", 0, "<=", 5]}],
        [{"anything-but": "a"}], [{"anything-but": 5}], [{"anything-but": ["a", "b"]}], [{"anything-but": [1, 2]}],
        [{"anything-but": {"prefix": "a"}}], [{"anything-but": {"prefix": ["a", "b"]}}],
        [{"anything-but": {"suffix": "a"}}], [{"anything-but": {"equals-ignore-case": ["a", "B"]}}],
        [{"anything-but": {"wildcard": "*/lib/*"}}], [{"anything-but": {"wildcard": ["a*", "*b"]}}],
    ],
)  # fmt: skip
def test_values_and_filters_that_eventbridge_knows_are_taken(values: list[Any]) -> None:
    assert list(problems({"detail": {"field": values}})) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("a", "detail.field is 'a', and values stand in a list: write ['a']"),
        (None, "detail.field is None, and values stand in a list"),
        ([], "detail.field is an empty list, which EventBridge refuses"),
        ({}, "detail.field is an empty dict, which EventBridge refuses"),
        ([["a"]], "detail.field has ['a']: a value is a text, a number, a bool, or a filter"),
        ([None], "detail.field has None, which a template leaves out"),
        ([2**53], f"detail.field has {2**53}, which a template can't hold"),
        ([float("nan")], "detail.field has nan, which a template can't hold"),
        ([{}], "detail.field has {}: a filter has one key"),
        ([{"prefix": "a", "suffix": "b"}], "a filter has one key"),
        ([{"prefixes": "a"}], "has the filter 'prefixes', and EventBridge knows prefix, suffix, equals-ignore-case"),
        ([{"prefix": 5}], "the filter prefix with 5: write a text"),
        ([{"prefix": ["a"]}], "the filter prefix with ['a']: write a text"),
        ([{"suffix": {"prefix": "a"}}], "the filter suffix with {'prefix': 'a'}: write a text, or"),
        ([{"equals-ignore-case": ["a"]}], "the filter equals-ignore-case with ['a']: write a text"),
        ([{"exists": "true"}], "the filter exists with 'true': write True or False"),
        ([{"wildcard": "a**b"}], "EventBridge refuses **"),
        ([{"wildcard": r"a\b"}], "any backslash but those"),
        ([{"wildcard": 5}], "write a text, in which * stands for any characters"),
        ([{"cidr": "10.0.0.0"}], "write an address and the bits of its mask"),
        ([{"cidr": "10.0.0.0/99"}], "write an address and the bits of its mask"),
        ([{"cidr": "10.0.0.300/24"}], "write an address and the bits of its mask"),
        ([{"numeric": 5}], "write an operator and a number"),
        ([{"numeric": ["=", "5"]}], "write an operator and a number"),
        ([{"numeric": ["=", True]}], "write an operator and a number"),
        ([{"numeric": ["!=", 5]}], "write an operator and a number"),
        ([{"numeric": [">", 0, "<"]}], "write an operator and a number"),
        ([{"numeric": ["<", 5, ">", 0]}], "a range begins with > or >= and ends with < or <="),
        ([{"numeric": [">", 5, "<", 0]}], "the first number of a range must be less"),
        ([{"numeric": [">", 6e9]}], "numbers between -5e9 and 5e9"),
        ([{"anything-but": []}], "write a text, a number, a list of texts"),
        ([{"anything-but": ["a", 1]}], "write a text, a number, a list of texts"),
        ([{"anything-but": None}], "write a text, a number, a list of texts"),
        ([{"anything-but": {"cidr": "10.0.0.0/8"}}], "inside of it EventBridge knows prefix, suffix"),
        ([{"anything-but": {"prefix": ""}}], "an empty prefix would exclude every text"),
        ([{"anything-but": {"prefix": {"equals-ignore-case": "a"}}}], "prefix inside of it takes a text"),
        ([{"anything-but": {"wildcard": "**"}}], "EventBridge refuses **"),
    ],
)
def test_what_eventbridge_refuses_is_named_with_its_place_and_its_cure(values: Any, said: str) -> None:
    with pytest.raises(AwsEventError) as refused:
        AwsEvent({"source": ["aws.s3"], "detail": {"field": values}})
    assert said in str(refused.value)
    assert "detail.field" in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("aws.s3", "the pattern is 'aws.s3', write a dict"),
        ({}, "the pattern is empty, and every event would match it"),
        ({5: ["a"]}, "5 is no field's name"),
        ({"$or": [{"source": ["a"]}]}, "$or is [{'source': ['a']}], write a list of two or more dicts"),
        ({"$or": {"source": ["a"]}}, "write a list of two or more dicts"),
        ({"detail": {"$or": [{"a": ["1"]}, {"b": "2"}]}}, "detail.b is '2', and values stand in a list"),
        ({"$or": [{"prefix": ["a"]}, {"source": ["a"]}]}, "$or.prefix is the name of a filter"),
        ({"source": ["a" * 5000]}, "the pattern has 5015 characters, and EventBridge takes 4096"),
    ],
)
def test_a_pattern_of_another_form_is_refused(pattern: Any, said: str) -> None:
    with pytest.raises(AwsEventError) as refused:
        AwsEvent(pattern)
    assert said in str(refused.value)


def test_or_is_taken_at_every_depth() -> None:
    either = {"$or": [{"detail": {"$or": [{"a": [1]}, {"b": [{"exists": True}]}]}}, {"source": ["aws.ec2"]}]}
    assert list(problems(either)) == []
