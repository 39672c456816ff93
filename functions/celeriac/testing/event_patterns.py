"""Whether an event matches a pattern, as EventBridge decides it.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
https://github.com/aws/event-ruler, the library that EventBridge uses
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from celeriac.model.event_pattern import OR

_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether all fields of a pattern match. A list of objects matches if one of its objects does.

    pattern: one without `celeriac.model.event_pattern.problems`.
    """
    return _matches(_nested(pattern), _nested(event))


def _nested(value: Any) -> Any:
    """The value with `{"a": {"b": ...}}` for each `{"a.b": ...}`: EventBridge takes them for the same."""
    if isinstance(value, list):
        return [_nested(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    made: dict[str, Any] = {}
    for name, inner in value.items():
        *above, last = name.split(".")
        at = made
        for step in above:
            if not isinstance(at.get(step), dict):
                at[step] = {}
            at = at[step]
        found = _nested(inner)
        at[last] = {**at[last], **found} if isinstance(found, dict) and isinstance(at.get(last), dict) else found
    return made


def _matches(pattern: Mapping[str, Any], event: object) -> bool:
    if isinstance(event, list):
        return any(_matches(pattern, one) for one in event) or _matches(pattern, None)
    return all(_field_matches(name, wanted, event) for name, wanted in pattern.items())


def _field_matches(name: str, wanted: Any, event: object) -> bool:
    if name == OR:
        return any(_matches(one, event) for one in wanted)
    value = event.get(name, _ABSENT) if isinstance(event, dict) else _ABSENT
    if isinstance(wanted, Mapping):
        return _matches(wanted, value)
    values = list(_leaves(value))
    if not values:
        return any(_is_absence(one) for one in wanted)
    return any(_is(each, one) for each in values for one in wanted)


_ABSENT = object()


def _leaves(value: object) -> Iterator[object]:
    """The values of a field: none of an object or an empty list, which EventBridge takes for an absent field."""
    if isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif value is not _ABSENT and not isinstance(value, dict):
        yield value


def _is_absence(wanted: object) -> bool:
    return isinstance(wanted, Mapping) and wanted.get("exists") is False


def _is(value: object, wanted: object) -> bool:
    """Whether a value of the event is the value of the pattern, or passes its filter."""
    if not isinstance(wanted, Mapping):
        return _same(value, wanted)
    name, argument = next(iter(wanted.items()))
    if name == "anything-but":
        return not _is_one_of(value, argument)
    if name == "exists":
        return bool(argument)
    if name == "numeric":
        return _is_number(value) and all(
            _COMPARED[sign](value, number) for sign, number in zip(argument[::2], argument[1::2], strict=True)
        )
    return isinstance(value, str) and _TEXT_FILTERS[name](value, argument)


def _is_one_of(value: object, argument: object) -> bool:
    """Whether a value is what `anything-but` names."""
    if isinstance(argument, Mapping):
        name, inner = next(iter(argument.items()))
        texts = inner if isinstance(inner, list) else [inner]
        return isinstance(value, str) and any(_TEXT_FILTERS[name](value, one) for one in texts)
    return any(_same(value, one) for one in (argument if isinstance(argument, list) else [argument]))


def _same(value: object, wanted: object) -> bool:
    """Python says that True is 1."""
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _begins(value: str, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return value.lower().startswith(wanted["equals-ignore-case"].lower())
    return value.startswith(wanted)


def _ends(value: str, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return value.lower().endswith(wanted["equals-ignore-case"].lower())
    return value.endswith(wanted)


def _is_wildcard(value: str, wanted: str) -> bool:
    """A `*` is any text, an empty one too; behind a backslash it is itself."""
    parts = re.findall(r"\\[*\\]|.", wanted, re.DOTALL)
    made = "".join(".*" if part == "*" else re.escape(part[-1]) for part in parts)
    return re.fullmatch(made, value, re.DOTALL) is not None


def _is_in_network(value: str, wanted: str) -> bool:
    try:
        return ip_address(value) in ip_network(wanted, strict=False)
    except ValueError:
        return False


_TEXT_FILTERS: dict[str, Callable[[str, Any], bool]] = {
    "prefix": _begins,
    "suffix": _ends,
    "equals-ignore-case": lambda value, wanted: value.lower() == wanted.lower(),
    "wildcard": _is_wildcard,
    "cidr": _is_in_network,
}
