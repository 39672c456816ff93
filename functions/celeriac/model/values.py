"""Checks whether a value arrives as it was passed.

A value of plain JSON (text, number, true, false, None, a list, a dict with text keys) is what any other producer sends.
The annotation of its parameter may convert it. Every other value must arrive equal and with the same type, down to the
last element.
"""

import dataclasses
from collections.abc import Iterator
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any

import msgspec

from celeriac.model.following import Result

_TEXTS = frozenset({str, bool, type(None)})
_SHOWN = 60
"""How many characters of a value are shown."""

type _Path = tuple[_Path | None, object]
"""The place of a value: a name, then keys and element numbers. It becomes a text only if there is a difference."""


class Difference(msgspec.Struct, frozen=True):
    """A value that would not arrive as it was passed."""

    problem: str
    """The place, what is wrong there, and what would arrive: half a sentence."""
    cure: str

    @property
    def place(self) -> str:
        """The parameter, or the part of it, in backquotes."""
        return self.problem[: self.problem.find("`", 1) + 1]


class _Missing:
    """Stands for the arrived value if no field or element takes the passed one."""


def difference(name: str, passed: object, arrived: object) -> Difference | None:
    """Return the first difference between a value and its copy that went through JSON and an annotation, or None.

    Two datetimes are the same if their clock time and offset are: JSON doesn't carry the name of a time zone. nan and
    infinity never arrive.
    """
    waiting: list[tuple[_Path, Any, Any]] = [((None, name), passed, arrived)]
    while waiting:  # no recursion: JSON may be nested deeper than Python's stack
        path, one, other = waiting.pop()
        found = _pairs(path, one, other)
        if isinstance(found, Difference):
            return found
        waiting += found
    return None


def is_said(passed: object, arrived: object) -> bool:
    """Whether JSON carries this value exactly. Most values pass this quick check, so callers make it first."""
    kind = type(passed)
    return kind in _TEXTS or (kind is int and passed == arrived)


def _pairs(path: _Path, passed: Any, arrived: Any) -> Difference | list[tuple[_Path, Any, Any]]:
    """Return the parts of two values that must still be compared, or the difference."""
    kind = type(passed)
    if kind in _TEXTS:
        return []
    if kind is int or kind is float:
        return _number(path, passed, arrived)
    if kind is list:
        return _list(path, passed, arrived)
    if kind is dict:
        return _dict(path, passed, arrived)
    if arrived is _Missing:
        return Difference(f"`{_text(path)}` would not arrive", "convert it yourself")
    if type(arrived) is not kind:
        return _retyped(path, kind, type(arrived))
    if isinstance(passed, tuple):
        return _list(path, list(passed), list(arrived))
    if isinstance(passed, (set, frozenset)):
        there = {element: element for element in arrived}
        return [((path, ...), element, there.get(element, _Missing)) for element in passed]
    if not isinstance(passed, Enum) and (parts := list(_parts(passed))):
        return _attributes(path, passed, arrived, parts)
    return [] if _is_equal(passed, arrived) else _changed(path, passed, arrived)


def _number(path: _Path, passed: float, arrived: Any) -> Difference | list[Any]:
    if not isfinite(passed):
        return _unsayable(path, passed)
    # If the number arrives as another type, such as a Decimal, the annotation asks for that type.
    if type(arrived) in {int, float} and arrived != passed:
        return _changed(path, passed, arrived)
    return []


def _list(path: _Path, passed: list[Any], arrived: Any) -> Difference | list[tuple[_Path, Any, Any]]:
    if isinstance(arrived, (list, tuple)):
        if len(arrived) != len(passed):
            return _changed(path, passed, arrived)
        pairs = enumerate(zip(passed, arrived, strict=True))
        return [((path, i), one, other) for i, (one, other) in pairs if not is_said(one, other)]
    if isinstance(arrived, (set, frozenset)):
        there = {element: element for element in arrived}
        return [((path, i), one, _found(one, there)) for i, one in enumerate(passed)]
    # The annotation made some other object of the list. Its elements can't be compared, so they must be plain JSON.
    return [((path, i), one, _Missing) for i, one in enumerate(passed)]


def _found(element: Any, there: dict[Any, Any]) -> Any:
    try:
        return there.get(element, _Missing)
    except TypeError:  # a list can't be hashed, it arrived as a tuple
        return _Missing


def _dict(path: _Path, passed: dict[Any, Any], arrived: Any) -> Difference | list[tuple[_Path, Any, Any]]:
    if isinstance(arrived, dict):
        pairs: list[tuple[_Path, Any, Any]] = []
        for (key, one), (its, other) in zip(passed.items(), arrived.items(), strict=False):
            if type(key) is not str and (type(its) is not type(key) or its != key):
                keys, others = _name(type(key)), _name(type(its))
                return Difference(
                    f"`{_text(path)}` has a key that was passed as {keys} and would arrive as {others}",
                    f"annotate the parameter with dict[{keys}, ...], or convert the keys yourself",
                )
            if not is_said(one, other):
                pairs.append(((path, key), one, other))
        if len(arrived) != len(passed):
            lost = next((key for key in passed if key not in arrived), None)
            return Difference(f"`{_text((path, lost))}` would not arrive", "remove it: nothing reads it")
        return pairs
    if arrived is _Missing or not (names := field_names(arrived)):
        return [((path, key), one, _Missing) for key, one in passed.items()]
    if unknown := [key for key in passed if key not in names]:
        return Difference(
            f"`{_text((path, unknown[0]))}` would not arrive: {_name(type(arrived))} has no such field",
            "remove it, or add a field for it",
        )
    pairs = [((path, key), one, getattr(arrived, names[key], _Missing)) for key, one in passed.items()]
    if hasattr(type(arrived), "model_fields"):  # the validators of a pydantic model may change a number
        return [(its, one, _Missing if type(one) in {int, float} else other) for its, one, other in pairs]
    return pairs


def _attributes(path: _Path, passed: Any, arrived: Any, parts: list[str]) -> Difference | list[tuple[_Path, Any, Any]]:
    """Return the attributes of two objects of one type. No annotation converts them, so texts must be equal too."""
    pairs: list[tuple[_Path, Any, Any]] = []
    for part in parts:
        one, other = getattr(passed, part, _Missing), getattr(arrived, part, _Missing)
        if type(one) in _TEXTS and type(other) in _TEXTS and one != other:
            return _lost_text((path, part))
        # A private attribute may be a lock or a client. Each object makes a new one, and no two of them are equal.
        own = part in (getattr(passed, "__pydantic_private__", None) or ())
        if not (own and type(one) is type(other) and type(one).__eq__ is object.__eq__):
            pairs.append(((path, part), one, other))
    return pairs


def field_names(arrived: Any) -> dict[str, str]:
    """Map JSON's names of the fields of a dataclass, Struct or pydantic model to Python's; empty for other values."""
    kind: Any = type(arrived)
    if hasattr(kind, "model_fields"):
        return _names_in_model(arrived)
    if issubclass(kind, msgspec.Struct):
        names = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
        return names | ({tag: tag} if (tag := kind.__struct_config__.tag_field) else {})
    if dataclasses.is_dataclass(kind):
        return {field.name: field.name for field in dataclasses.fields(kind)}
    return {}


def _names_in_model(model: Any) -> dict[str, str]:
    """Map the names of a pydantic model's fields, as `_names` does.

    The answer is empty if the model may read keys that aren't fields: it has a root, or a validator that sees the dict
    first.
    """
    kind = type(model)
    readers = kind.__pydantic_decorators__.model_validators.values()
    if "root" in kind.model_fields or any(reader.info.mode != "after" for reader in readers):
        return {}
    config = kind.model_config
    names = {key: key for key in (*kind.model_computed_fields, *(model.model_extra or ()))}
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        if alias is None or config.get("populate_by_name") or config.get("validate_by_name"):
            names[name] = name
        for choice in getattr(alias, "choices", [alias]):
            if isinstance(choice, str):
                names[choice] = name
            elif choice is not None:  # an AliasPath leads to a part of the value under its first key
                names[choice.path[0]] = ""
    names |= {field.alias: "" for field in kind.model_computed_fields.values() if field.alias}
    return names


def _parts(value: Any) -> Iterator[str]:
    """Yield the attributes of a Struct, a dataclass, or a pydantic or attrs object; nothing for any other value."""
    if isinstance(value, msgspec.Struct):
        yield from value.__struct_fields__
    elif dataclasses.is_dataclass(value):
        yield from (field.name for field in dataclasses.fields(value))
    elif hasattr(type(value), "model_fields"):
        yield from type(value).model_fields
        yield from value.model_extra or ()
        yield from getattr(value, "__pydantic_private__", None) or ()
    elif hasattr(type(value), "__attrs_attrs__"):
        yield from (attribute.name for attribute in value.__attrs_attrs__)


def _is_equal(passed: Any, arrived: Any) -> bool:
    if isinstance(passed, (datetime, time)):
        same_clock = passed.replace(tzinfo=None, fold=0) == arrived.replace(tzinfo=None, fold=0)
        return bool(same_clock and passed.utcoffset() == arrived.utcoffset())
    if isinstance(passed, Decimal):
        return passed.is_finite() and passed == arrived
    return bool(passed == arrived)


def _retyped(path: _Path, kind: type, arrived: type) -> Difference:
    return Difference(
        f"`{_text(path)}` was passed as {_name(kind)} and would arrive as {_name(arrived)}",
        f"annotate the parameter with {_name(kind)}, or convert it yourself",
    )


def _changed(path: _Path, passed: object, arrived: object) -> Difference:
    if isinstance(passed, Decimal) and not passed.is_finite():
        return _unsayable(path, passed)
    return Difference(
        f"`{_text(path)}` was passed as {_shown(passed)} and would arrive as {_shown(arrived)}",
        "annotate the parameter with a type that holds it, or convert it yourself",
    )


def _lost_text(path: _Path) -> Difference:
    """The text isn't shown: it may be a secret."""
    return Difference(f"`{_text(path)}` would not arrive as it was passed", "pass it as a separate parameter")


def _unsayable(path: _Path, number: object) -> Difference:
    return Difference(f"`{_text(path)}` is {number}, which JSON can't say", "pass None, or a text that the task knows")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _name(kind: type) -> str:
    return kind.__qualname__.rpartition("<locals>.")[2]


def _text(path: _Path) -> str:
    parts: list[str] = []
    step: _Path | None = path
    while step is not None:
        step, part = step
        parts.append(f".{part}" if isinstance(part, str) else "[...]" if part is ... else f"[{part}]")
    return "".join(reversed(parts)).removeprefix(".")


def to_json(value: object) -> object:
    """Convert a value that msgspec can't write itself: a pydantic model. Raises TypeError for any other value."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    if isinstance(value, Result):
        raise TypeError("RESULT is the result of the step before: only a step of a chain takes it, in bind(...)")
    raise TypeError(f"a value of type {type(value).__qualname__} has no JSON form")
