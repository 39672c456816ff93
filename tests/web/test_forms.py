"""A form made from a task's signature: each type's control, what is read from it, and what the task refuses."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import msgspec
import pydantic
import pytest

from celeriac import Context, Queue, Task, task
from celeriac_console.web.forms.arguments import FormError, arguments
from celeriac_console.web.forms.fields import fields, typed, unknown

queue = Queue("forms")


class Colour(Enum):
    RED = "red"
    BLUE = "b"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Address:
    city: str
    number: int


class Model(pydantic.BaseModel):
    name: str
    count: int = pydantic.Field(ge=1)


UserId = NewType("UserId", int)
type Amount = Annotated[int, msgspec.Meta(ge=1)]
Naive = Annotated[datetime, msgspec.Meta(tz=False)]
HOSTILE = '<script>alert("1")</script>\n\u202eRTL\'"&amp;'
UUID_TEXT = "0198f3c2-7a44-7000-8000-000000000000"


def of(hint: Any, *default: object) -> Task[..., Any, Any]:
    """A task with one parameter of a type, and perhaps with a default."""

    def one(value: Any) -> None: ...

    one.__annotations__["value"] = hint
    one.__defaults__ = default or None
    return task(queue, name="one")(one)


def sent(one: Task[..., Any, Any], **changed: str) -> dict[str, str]:
    """What a browser sends of an empty form, with what is typed into `value`, `empty` and `control`."""
    [field] = fields(one)
    form = {field.control_as: field.control, field.sent_as: field.value}
    if field.empty:
        form[field.empty_as] = field.means
    return form | {f"{'arg' if name == 'value' else name}.value": text for name, text in changed.items()}


@pytest.mark.parametrize(
    ("hint", "control", "text", "value"),
    [
        (str, "line", "true", "true"),
        (Annotated[str, msgspec.Meta(max_length=3)], "line", "12", "12"),
        (int, "number", " 42 ", 42),
        (int, "number", "-9007199254740993", -9007199254740993),
        (UserId, "number", "7", 7),
        (Amount, "number", "7", 7),
        (float, "number", "4.5", 4.5),
        (float, "number", "5", 5),
        (Decimal, "number", "1.10", "1.10"),
        (bool, "checkbox", "true", True),
        (bool | None, "select", "false", False),
        (Literal["b", "a", 1], "select", "1", 1),
        (Literal["b", "a", 1], "select", '"b"', "b"),
        (Colour, "select", '"b"', "b"),
        (Level, "select", "2", 2),
        (Colour | None, "select", '"red"', "red"),
        (date, "date", "2026-11-27", "2026-11-27"),
        (datetime, "datetime", "2026-11-27T06:00", "2026-11-27T06:00:00Z"),
        (datetime | None, "datetime", "2026-11-27T06:00:01", "2026-11-27T06:00:01Z"),
        (Naive, "datetime", "2026-11-27T06:00", "2026-11-27T06:00:00"),
        (time, "time", "06:00", "06:00:00"),
        (timedelta, "line", "PT90S", "PT90S"),
        (UUID, "line", UUID_TEXT, UUID_TEXT),
        (bytes, "line", "AAEC", "AAEC"),
        (list[int], "json", "[1, 2]", [1, 2]),
        (dict[str, Any], "json", '{"a": null}', {"a": None}),
        (Address, "json", '{"city": "Bern", "number": 1}', {"city": "Bern", "number": 1}),
        (Model, "json", '{"name": "n", "count": 2}', {"name": "n", "count": 2}),
        (int | str, "json", '"a"', "a"),
        (Any, "json", "null", None),
    ],
)
def test_each_type_has_its_control_and_is_read_from_it(hint: Any, control: str, text: str, value: object) -> None:
    one = of(hint)
    [field] = fields(one)
    assert field.control == control
    found = arguments(one, sent(one, value=text))
    assert found == {"value": value}
    assert type(found["value"]) is type(value)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (str, ""),
        (str, HOSTILE),
        (str, "\r\nbegins with a new line\r"),
        (str, "\n"),
        (str, "half \ud800 and \x00"),
        (str | None, None),
        (str | None, ""),
        (int, 10**30),
        (int, "not a number"),
        (float, 1.5e300),
        (float, 3),
        (Decimal, 1.5),
        (bool, True),
        (bool, "yes"),
        (bool | None, None),
        (Literal["a"] | None, None),
        (Colour, "green, which is gone"),
        (datetime, "2026-11-27T06:00:00.123456+02:00"),
        (datetime, "2026-11-27T06:00:00Z"),
        (datetime, "2026-11-27T06:00:00"),
        (Naive, "2026-11-27T06:00:00"),
        (date, "soon"),
        (time, "06:00:00.5"),
        (dict[str, str], {"a": "\u2028\r\u0007"}),
        (Any, "text"),
        (list[int] | None, []),
    ],
)
def test_a_value_that_is_not_edited_comes_back_as_it_was(hint: Any, value: object) -> None:
    one = of(hint)
    [field] = fields(one, {"value": value})
    # A browser sends each new line of a text as two characters, and no carriage return comes from anywhere else.
    assert "\r" not in field.value
    assert field.control == "text" or "\n" not in field.value or field.control == "json"
    form = {
        field.control_as: field.control,
        field.sent_as: field.value.replace("\n", "\r\n"),
        field.empty_as: field.means,
    }
    try:
        expected = one.signature.decode(msgspec.json.encode({"value": value}))
    except (TypeError, UnicodeEncodeError):
        with pytest.raises(FormError):
            arguments(one, form)
        assert typed(one, form, {})[0].value.replace("\r\n", "\n") == field.value
    else:
        found = arguments(one, form)
        assert found == {"value": value}
        assert one.signature.decode(msgspec.json.encode(found)) == expected


@pytest.mark.parametrize(
    ("hint", "text", "why"),
    [
        (int, "a", "whole number"),
        (int, "4.5", "whole number"),
        (int, "", "It is needed"),
        (str, "", "It is needed"),
        (float, "nan", "Write a number"),
        (float, "1e999", "Write a number"),
        (Amount, "0", ">= 1"),
        (Decimal, "x", "decimal"),
        (UUID, "x", "UUID"),
        (date, "27.11.2026", "RFC3339"),
        (Literal["a"], '"z"', "Invalid enum value"),
        (Colour, "", "It is needed"),
        (Address, '{"city": 1}', "city"),
        (Address, '{"city": "a", "number": 1', "line 1"),
        (Model, '{"name": "n", "count": 0}', "count"),
        (list[int], '[1, "a"]', "Expected `int`"),
        (int | str, "a", "no JSON"),
        (Any, "[" * 100_000, "no JSON"),
    ],
)
def test_what_the_task_refuses_stands_beside_its_field_and_is_kept(hint: Any, text: str, why: str) -> None:
    one = of(hint)
    form = sent(one, value=text)
    with pytest.raises(FormError) as refused:
        arguments(one, form)
    assert why in refused.value.errors["value"]
    [field] = typed(one, form, refused.value.errors)
    assert (field.value, field.error) == (text, refused.value.errors["value"])


@pytest.mark.parametrize(
    ("one", "means", "found"),
    [
        (of(int, 5), "", {}),
        (of(int | None, 5), "null", {"value": None}),
        (of(str, "x"), "default", {}),
        (of(str, "x"), "text", {"value": ""}),
        (of(str | None, None), "text", {"value": ""}),
        (of(str | None, None), "null", {}),
        (of(str | None), "null", {"value": None}),
        (of(bool, True), "", {}),
        (of(str), "text", {"value": ""}),
    ],
)
def test_an_empty_field_means_what_is_chosen(one: Task[..., Any, Any], means: str, found: dict[str, object]) -> None:
    assert arguments(one, sent(one, value="", empty=means)) == found


def test_a_typed_value_counts_whatever_an_empty_field_means() -> None:
    one = of(str | None, "x")
    assert arguments(one, sent(one, value="typed", empty="null")) == {"value": "typed"}


def test_every_wrong_field_is_named_at_once() -> None:
    @task(queue, name="several")
    def several(ctx: Context, a: int, b: int, c: str = "x") -> None: ...

    with pytest.raises(FormError) as refused:
        arguments(several, {"arg.a": "x", "arg.b": "", "arg.ctx": "1"})
    assert set(refused.value.errors) == {"a", "b"}
    assert [field.name for field in fields(several)] == ["a", "b", "c"]
    assert unknown(several, {"a": 1, "gone": 2}) == ["gone"]


@pytest.mark.parametrize(
    ("hint", "written"),
    [
        (list[Address], "list[Address]"),
        (Annotated[int, msgspec.Meta(ge=1)], "int"),
        (str | None, "str | None"),
        (Colour, "Colour"),
        (Literal["a"], "Literal['a']"),
        (Callable, "Callable"),
    ],
)
def test_a_type_is_written_as_people_write_it(hint: Any, written: str) -> None:
    from celeriac_console.web.forms.kind import typing_text  # noqa: PLC0415 - only here

    assert typing_text(hint) == written
