"""Python values in DynamoDB's own form, such as `{"S": "text"}`; and which values DynamoDB doesn't store, and why.

AWS answers a wrong value with a ValidationException that seldom says where the value was. boto3's own serializer raises
errors of several types without the place, and lets some values through that DynamoDB refuses.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from decimal import Context, Decimal, Inexact
from enum import Enum
from typing import Any
from uuid import UUID

from boto3.dynamodb.types import Binary

from celeriac.model.errors import CeleriacError

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MOST_DIGITS = 38
EXPONENTS = range(-130, 126)
MOST_LEVELS = 32
EXACT = Context(prec=MOST_DIGITS, traps=[Inexact])


class UnsupportedValueError(CeleriacError, TypeError):
    """A value that DynamoDB doesn't store. The text begins with its path, such as `lines[2].price`."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} {why}")


def value_of(value: Any, path: str = "the value", level: int = 0) -> dict[str, Any]:
    """Return a value in DynamoDB's form. `path` says where it stands. Raises UnsupportedValueError."""
    if level > MOST_LEVELS:
        raise UnsupportedValueError(path, f"is nested more than {MOST_LEVELS} levels deep")
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str() | bytes() | bytearray() | Binary() | int() | Decimal():
            kind, content = _scalar(value, path)
            return {kind: content}
        case Mapping():
            return {"M": {_name(name, path): value_of(one, f"{path}.{name}", level + 1) for name, one in value.items()}}
        case list() | tuple():
            return {"L": [value_of(one, f"{path}[{i}]", level + 1) for i, one in enumerate(value)]}
        case AbstractSet():
            return _set(value, path)
        case _:
            raise UnsupportedValueError(path, _why_not(value))


def _scalar(value: Any, path: str) -> tuple[str, Any]:
    match value:
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise UnsupportedValueError(path, "has half of a surrogate pair, which is no character") from None
            return "S", value
        case int() | Decimal():
            return "N", _number(value, path)
        case Binary():
            return "B", value.value  # type: ignore[attr-defined]  # the stub lacks it
        case _:
            return "B", value


def _number(value: int | Decimal, path: str) -> str:
    number = Decimal(value)
    if not number.is_finite():
        raise UnsupportedValueError(path, f"is {number}, and DynamoDB has no such number: write None, or leave it out")
    try:
        exact = number.normalize(EXACT)
    except Inexact:
        raise UnsupportedValueError(
            path, f"has more than the {MOST_DIGITS} digits that DynamoDB keeps: round it, or write it as a text"
        ) from None
    if exact and exact.adjusted() not in EXPONENTS:
        raise UnsupportedValueError(path, "is beyond DynamoDB's numbers, 1E-130 to 9.9E+125: write it as a text")
    # Zeros at the end stay as they were given, unless they are too many.
    return str(number if len(number.as_tuple().digits) <= MOST_DIGITS else exact)


def _set(value: AbstractSet[Any], path: str) -> dict[str, Any]:
    if not value:
        raise UnsupportedValueError(path, "is an empty set, which DynamoDB doesn't keep: leave it out, or write a list")
    content: list[Any] = []
    kinds: set[str] = set()
    for one in value:
        if isinstance(one, bool) or not isinstance(one, str | bytes | bytearray | Binary | int | Decimal):
            raise UnsupportedValueError(f"a value in the set {path}", _why_not(one))
        kind, stored = _scalar(one, path)
        kinds.add(kind)
        content.append(stored)
    if len(kinds) > 1:
        raise UnsupportedValueError(path, "is a mixed set: a set holds only texts, only numbers or only bytes")
    return {f"{kinds.pop()}S": content}


def _name(name: object, path: str) -> str:
    if not isinstance(name, str):
        raise UnsupportedValueError(path, f"has a name that is a {type(name).__name__}: names are texts")
    _scalar(name, f"a name in {path}")
    return name


def _why_not(value: object) -> str:
    named = f"is a {type(value).__name__}"
    match value:
        case float() if value - value != 0:
            return f"is {value}, and DynamoDB has no such number: write None, or leave it out"
        case float():
            return f'is a float, and DynamoDB\'s numbers are decimal: write Decimal("{value}")'
        case date() | time():
            return f"{named}: write it as a text, with .isoformat()"
        case timedelta():
            return f"{named}: write its seconds, int(value.total_seconds())"
        case UUID():
            return f"{named}: write it as a text, str(value)"
        case Enum():
            return f"{named}: write its .value"
        case bool() | None:
            return f"{named}: a set holds only texts, only numbers or only bytes"
        case _:
            return f"{named}: DynamoDB holds texts, numbers (int, Decimal), bytes, bool, None, lists, dicts and sets"
