"""Event patterns of EventBridge: what it would refuse.

A pattern has the form of an event. Where the event has a value, the pattern has a list: each entry is a value to match,
or a filter such as `{"prefix": "uploads/"}`. EventBridge answers `InvalidEventPatternException` only at a deploy, so a
pattern is checked when it is declared.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
https://github.com/aws/event-ruler, the library that EventBridge uses: JsonRuleCompiler
"""

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_interface
from typing import Any

import msgspec

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
MOST_CHARACTERS = 4096
OR = "$or"
# EventBridge compares numbers with 15 digits, six of them behind the point.
_MOST_NUMBER = 5e9
# The CDK writes templates in JavaScript.
_MOST_WHOLE = 2**53 - 1
_PAIR, _TWO_PAIRS = 2, 4
_ESCAPES = re.compile(r"\\(?![*\\])|\*\*")


def problems(pattern: object) -> Iterator[str]:
    """Say what is wrong with a pattern, each with its cure. Nothing for a pattern that EventBridge takes."""
    if not isinstance(pattern, Mapping):
        yield f'the pattern is {_shown(pattern)}, write a dict, such as {{"source": ["aws.s3"]}}'
        return
    if not pattern:
        yield 'the pattern is empty, and every event would match it: name a source, such as {"source": ["aws.s3"]}'
        return
    yield from _of_object(pattern, "", in_or=False)
    try:
        size = len(msgspec.json.encode(pattern).decode())
    except (TypeError, ValueError, UnicodeEncodeError, RecursionError) as error:
        yield f"the pattern can't be written as JSON: {error}"
        return
    if size > MOST_CHARACTERS:
        yield f"the pattern has {size} characters, and EventBridge takes {MOST_CHARACTERS}: match on fewer values"


def _of_object(pattern: Mapping[Any, Any], at: str, *, in_or: bool) -> Iterator[str]:
    if not pattern:
        yield f"{at} is an empty dict, which EventBridge refuses: leave {at} out"
    for name, wanted in pattern.items():
        place = f"{at}.{name}" if at else str(name)
        if not isinstance(name, str):
            yield f"{place} is no field's name: a pattern's keys are texts"
        elif name == OR:
            yield from _of_alternatives(wanted, at)
        elif in_or and name in _FILTERS:
            yield f"{place} is the name of a filter, which EventBridge refuses as a field inside of {OR}"
        elif isinstance(wanted, Mapping):
            yield from _of_object(wanted, place, in_or=in_or)
        elif isinstance(wanted, list):
            yield from _of_leaf(wanted, place)
        else:
            yield f"{place} is {_shown(wanted)}, and values stand in a list: write [{_shown(wanted)}]"


def _of_alternatives(wanted: object, at: str) -> Iterator[str]:
    place = f"{at}.{OR}" if at else OR
    if not isinstance(wanted, list) or len(wanted) < _PAIR or not all(isinstance(one, Mapping) for one in wanted):
        yield f"{place} is {_shown(wanted)}, write a list of two or more dicts: one of them must match"
        return
    for one in wanted:
        yield from _of_object(one, at or OR, in_or=True)


def _of_leaf(wanted: list[Any], at: str) -> Iterator[str]:
    if not wanted:
        yield f'{at} is an empty list, which EventBridge refuses: write [{{"exists": True}}] for any value'
    for one in wanted:
        if isinstance(one, Mapping):
            yield from _of_filter(one, at)
        elif one is None:
            yield f'{at} has None, which a template leaves out: write {{"exists": True}}, and look in the task'
        elif not isinstance(one, (str, bool, int, float)):
            yield f"{at} has {_shown(one)}: a value is a text, a number, a bool, or a filter such as {_EXAMPLE}"
        elif isinstance(one, (int, float)) and not -_MOST_WHOLE <= one <= _MOST_WHOLE:
            yield f"{at} has {one}, which a template can't hold: it lies between -{_MOST_WHOLE} and {_MOST_WHOLE}"


def _of_filter(one: Mapping[Any, Any], at: str) -> Iterator[str]:
    if len(one) != 1:
        yield f"{at} has {_shown(one)}: a filter has one key, such as {_EXAMPLE}; give each filter a dict of its own"
        return
    name, value = next(iter(one.items()))
    if name not in _FILTERS:
        yield f"{at} has the filter {_shown(name)}, and EventBridge knows {', '.join(_FILTERS)}"
    elif (problem := _FILTERS[name](value)) is not None:
        yield f"{at} has the filter {name} with {_shown(value)}: {problem}"


def _of_end(value: Any) -> str | None:
    """Of `prefix` and `suffix`."""
    if isinstance(value, Mapping) and set(value) == {"equals-ignore-case"}:
        value = value["equals-ignore-case"]
    return None if isinstance(value, str) else 'write a text, or {"equals-ignore-case": "a text"}'


def _of_text(value: Any) -> str | None:
    return None if isinstance(value, str) else "write a text"


def _of_exists(value: Any) -> str | None:
    return None if isinstance(value, bool) else "write True or False"


def _of_wildcard(value: Any) -> str | None:
    if not isinstance(value, str):
        return "write a text, in which * stands for any characters"
    found = _ESCAPES.search(value.replace(r"\\", "").replace(r"\*", ""))
    return None if found is None else r"EventBridge refuses ** and any backslash but those in \* and \\"


def _of_cidr(value: Any) -> str | None:
    cure = 'write an address and the bits of its mask, such as "10.0.0.0/24"'
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F:.]+/[0-9]+", value):
        return cure
    try:
        ip_interface(value)
    except ValueError:
        return cure
    return None


def _of_numeric(value: Any) -> str | None:
    cure = 'write an operator and a number, such as ["=", 5], or a range, such as [">", 0, "<=", 5]'
    if not isinstance(value, list) or len(value) not in {_PAIR, _TWO_PAIRS}:
        return cure
    operators, numbers = value[::2], value[1::2]
    if not all(_is_number(number) for number in numbers):
        return cure
    if not all(-_MOST_NUMBER <= number <= _MOST_NUMBER for number in numbers):
        return "EventBridge compares numbers between -5e9 and 5e9"
    if len(value) == _PAIR:
        return None if operators[0] in {"=", "<", "<=", ">", ">="} else cure
    if operators[0] not in {">", ">="} or operators[1] not in {"<", "<="}:
        return 'a range begins with > or >= and ends with < or <=, such as [">", 0, "<=", 5]'
    return None if numbers[0] < numbers[1] else "the first number of a range must be less than the second"


def _of_anything_but(value: Any) -> str | None:
    if isinstance(value, Mapping):
        return _of_anything_but_filter(value)
    values = value if isinstance(value, list) else [value]
    if values and (all(isinstance(one, str) for one in values) or all(_is_number(one) for one in values)):
        return None
    return 'write a text, a number, a list of texts, a list of numbers, or a filter such as {"prefix": "test-"}'


def _of_anything_but_filter(value: Mapping[Any, Any]) -> str | None:
    known = ("prefix", "suffix", "equals-ignore-case", "wildcard")
    if len(value) != 1 or next(iter(value)) not in known:
        return f"inside of it EventBridge knows {', '.join(known)}, one of them at a time"
    name, inner = next(iter(value.items()))
    texts = inner if isinstance(inner, list) else [inner]
    if not texts or not all(isinstance(one, str) for one in texts):
        return f"{name} inside of it takes a text, or a list of texts"
    if name in {"prefix", "suffix"} and "" in texts:
        return f"an empty {name} would exclude every text"
    if name == "wildcard":
        return next((problem for one in texts if (problem := _of_wildcard(one)) is not None), None)
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """The start of a value, as Python writes it. A pattern is code of the team's, and holds no payload."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - about half a line


_EXAMPLE = '{"prefix": "uploads/"}'
_FILTERS: dict[str, Callable[[Any], str | None]] = {
    "prefix": _of_end,
    "suffix": _of_end,
    "equals-ignore-case": _of_text,
    "wildcard": _of_wildcard,
    "anything-but": _of_anything_but,
    "numeric": _of_numeric,
    "exists": _of_exists,
    "cidr": _of_cidr,
}
