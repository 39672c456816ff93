"""The control for a parameter's type, and how a value becomes a control's text and back."""

import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from celeriac_console.web.forms.field import Choice, Control

NULL = type(None)
_CONTROLS: Mapping[Any, tuple[Control, str]] = {
    str: ("line", ""),
    int: ("number", ""),
    float: ("number", ""),
    Decimal: ("number", "a decimal number"),
    bool: ("checkbox", ""),
    date: ("date", ""),
    datetime: ("datetime", "in UTC"),
    time: ("time", ""),
    timedelta: ("line", "a length of time in ISO 8601, such as PT90S or P1D"),
    UUID: ("line", "a UUID"),
    bytes: ("line", "bytes in base64"),
    bytearray: ("line", "bytes in base64"),
}
_WRITTEN_AS_TEXT = frozenset({str, date, datetime, time, timedelta, UUID, bytes, bytearray, Decimal})
_LONG = 80
"""A longer text gets a control with several lines."""
_UNSENDABLE = re.compile(r"[^\n\t\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]|[\x80-\x9f\ufffe\uffff]")
"""Characters that a browser's control drops or changes, such as a carriage return and half of a surrogate pair."""
_UTC = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z")
_NAIVE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_DATE, _TIME = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d\d:\d\d:\d\d")
_MINUTES = re.compile(r"(.*T)?\d\d:\d\d")
# A number of JSON, and what people type besides.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_WHOLE = re.compile(r"[+-]?\d{1,1000}")


class NotReadError(ValueError):
    """A control's text that is no value. The text says what to write."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a form asks for values of a type."""

    written: str
    """The annotation."""
    control: Control
    of: Any = Any
    """The type without None, and without what is annotated to it."""
    takes_null: bool = False
    note: str = ""
    choices: tuple[Choice, ...] = ()
    """Of a select: the values as JSON."""
    is_naive: bool = False
    """Whether a datetime has no time zone."""

    @property
    def takes_empty_text(self) -> bool:
        """Whether an empty control may be an empty text."""
        return self.of is str

    def draw(self, value: object) -> tuple[Control, str]:
        """The control for a value, and its text. One that can't show the value exactly is replaced by JSON."""
        match self.control:
            case "checkbox" if isinstance(value, bool):
                return "checkbox", json.dumps(value)
            case "select" if (text := as_json(value)) in {choice.value for choice in self.choices}:
                return "select", text
            case "number" if self.of is Decimal and isinstance(value, str) and _NUMBER.fullmatch(value):
                return "number", value
            case "number" if self.of is not Decimal and type(value) in {int, float} and _NUMBER.fullmatch(str(value)):
                return "number", str(value)
            case "date" | "datetime" | "time" | "line" if isinstance(value, str) and not _UNSENDABLE.search(value):
                return self._text(value)
        return "json", as_json(value, indent=2)

    def _text(self, value: str) -> tuple[Control, str]:
        if self.control == "datetime" and self.is_naive and _NAIVE.fullmatch(value):
            return "datetime", value
        if self.control == "datetime" and not self.is_naive and (utc := _UTC.fullmatch(value)):
            return "datetime", utc[1]
        if (self.control == "date" and _DATE.fullmatch(value)) or (self.control == "time" and _TIME.fullmatch(value)):
            return self.control, value
        return ("text" if "\n" in value or len(value) > _LONG else "line"), value

    def read(self, control: Control, text: str) -> object:
        """The value, as JSON types, of a control that isn't empty. Raises NotReadError."""
        match control:
            case "line" | "text":
                return text.replace("\r\n", "\n")  # a browser sends each new line so
            case "number":
                return self._number(text.strip())
            case "checkbox":
                return text == "true"
            case "datetime" | "time" | "date":
                whole = f"{text}:00" if control != "date" and _MINUTES.fullmatch(text) else text
                return whole + ("Z" if control == "datetime" and not self.is_naive and _NAIVE.fullmatch(whole) else "")
        return _of_json(text)

    def _number(self, text: str) -> object:
        if self.of is Decimal:
            return text
        if self.of is int and not _WHOLE.fullmatch(text):
            raise NotReadError("Write a whole number, such as 42.")
        if _WHOLE.fullmatch(text):
            return int(text)
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise NotReadError("Write a number, such as 4.2.")
        return float(text)


def kind_of(hint: Any) -> Kind:
    """The kind of an annotation. What has no control of its own is written as JSON."""
    written, bare, takes_null, metas = typing_text(hint), hint, False, list[Any]()
    while True:
        bare, more = _unwrapped(bare)
        metas += more
        options = typing.get_args(bare) if typing.get_origin(bare) in {typing.Union, types.UnionType} else ()
        if NULL not in options:
            break
        takes_null, bare = True, typing.Union[tuple(each for each in options if each is not NULL)]  # noqa: UP007 - computed
    if typing.get_origin(bare) is typing.Literal:
        values = typing.get_args(bare)
        choices = tuple(Choice(as_json(value), str(value)) for value in values if value is not None)
        return Kind(written, "select", bare, takes_null or None in values, choices=choices)
    if isinstance(bare, type) and issubclass(bare, Enum):
        return Kind(written, "select", bare, takes_null, choices=tuple(_choice(member) for member in bare))
    if bare in _CONTROLS if isinstance(bare, type) else False:
        control, note = _CONTROLS[bare]
        is_naive = bare is datetime and any(getattr(meta, "tz", None) is False for meta in metas)
        return Kind(written, control, bare, takes_null, "without a time zone" if is_naive else note, is_naive=is_naive)
    return Kind(written, "json", bare, takes_null or bare is Any, "JSON: a text is written with quotes")


def is_text(of: Any) -> bool:
    """Whether JSON has values of the type as texts."""
    return isinstance(of, type) and of in _WRITTEN_AS_TEXT


def typing_text(hint: Any) -> str:
    """An annotation as people write it, without the names of modules."""
    if typing.get_origin(hint) is typing.Annotated:
        return typing_text(typing.get_args(hint)[0])
    if hint is NULL:
        return "None"
    text = hint.__qualname__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", text.replace("<locals>.", ""))


def as_json(value: object, *, indent: int | None = None) -> str:
    """A value as JSON that a browser's control leaves as it is."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSENDABLE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _of_json(text: str) -> object:
    try:
        value = msgspec.json.decode(text.encode())
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise NotReadError("It holds half of a surrogate pair.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotReadError(f"It is no JSON: {_where(text, error)}. A text is written with quotes.") from None
    return value


def _where(text: str, error: Exception) -> str:
    try:
        json.loads(text)
    except json.JSONDecodeError as its:
        return f"line {its.lineno}, column {its.colno}: {its.msg}"
    except (ValueError, RecursionError):
        pass
    return str(error)


def _choice(member: Enum) -> Choice:
    shown = member.name if str(member.value) == member.name else f"{member.name}: {member.value}"
    try:
        return Choice(as_json(member.value), shown)
    except TypeError:  # a value that JSON doesn't have, which no message holds either
        return Choice(as_json(member.name), shown)


def _unwrapped(hint: Any) -> tuple[Any, list[Any]]:
    """The hint without Annotated, NewType and `type` statements; and what was annotated."""
    metas: list[Any] = []
    while True:
        if typing.get_origin(hint) is typing.Annotated:
            metas += hint.__metadata__
            hint = hint.__origin__
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif isinstance(hint, typing.TypeAliasType):
            hint = hint.__value__
        else:
            return hint, metas
