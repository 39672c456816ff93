"""The values that may be passed to a task: plain JSON, and values that arrive equal and with the same type."""

import dataclasses
import enum
from collections import OrderedDict, defaultdict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from threading import Lock
from typing import Any, NamedTuple, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest

from celeriac import InvalidArgumentsError
from celeriac.declare.signature import Signature

BERLIN = ZoneInfo("Europe/Berlin")


class Size(enum.IntEnum):
    SMALL = 1


class Colour(enum.StrEnum):
    RED = "red"


class Place(NamedTuple):
    row: int
    name: str


@dataclasses.dataclass
class Line:
    sku: str
    price: Any = None


@dataclasses.dataclass
class Discounted(Line):
    percent: int = 10


class Box(msgspec.Struct, tag="box", rename="camel"):
    inner_width: int


class Order(pydantic.BaseModel):
    number: int = 1
    note: Any = None


class Account(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    user_id: int = pydantic.Field(alias="userId")
    _lock: Any = pydantic.PrivateAttr(default_factory=Lock)

    @pydantic.computed_field  # type: ignore[prop-decorator]  # documented by pydantic
    @property
    def double(self) -> int:
        return 2 * self.user_id


class Parcel(pydantic.BaseModel):
    size: int = pydantic.Field(
        default=0, validation_alias=pydantic.AliasChoices("size", "width", pydantic.AliasPath("box", 0))
    )
    order: Order = Order()
    label: str = pydantic.Field(default="", exclude=True)
    _weight: int = pydantic.PrivateAttr(default=1)
    _mark: str = pydantic.PrivateAttr(default="")

    @classmethod
    def weighed(cls, weight: int = 1, mark: str = "") -> "Parcel":
        parcel = cls()
        parcel._weight, parcel._mark = weight, mark
        return parcel


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    number: float = 1

    @pydantic.field_validator("number")
    @classmethod
    def rounded(cls, number: float) -> float:
        return round(number)


class Renamed(Order):
    @pydantic.model_validator(mode="before")
    @classmethod
    def old_name(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {"number": data["num"]}


class Prices(pydantic.RootModel[dict[str, int]]): ...


class ByName(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(validate_by_name=True)
    user_id: int = pydantic.Field(default=0, alias="userId")


class ByAlias(pydantic.BaseModel):
    user_id: int = pydantic.Field(default=0, alias="userId")


class Rush(Order):
    hours: int = 2


class Login(pydantic.BaseModel):
    password: pydantic.SecretStr


class Street(TypedDict):
    name: str


class Text(str):
    __slots__ = ()


def encoded(annotation: Any, value: object) -> bytes:
    """The value as `enqueue` encodes it. With None as annotation, the parameter has none."""

    def take(value): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - the test sets the annotations

    take.__annotations__ = {} if annotation is None else {"value": annotation}
    return Signature(take, "take").encode({"value": value})[0]


ARRIVES: list[tuple[Any, object]] = [
    # Any producer can send plain JSON. The annotation decides what it becomes.
    (None, {"deep": [1, None, True, 2.5, -0.0, {"er": "text"}], "large": 2**70}),
    (float, 5),
    (float, 2**53),
    (date, "2026-01-01"),
    (Decimal, "0.10"),
    (Decimal, 0.1),
    (tuple[int, ...], [1, 2]),
    (set[Decimal], ["1", "1"]),
    (dict[int, str], {"1": "a"}),
    (Size, 1),
    (Line, {"sku": "a"}),
    (Box, {"type": "box", "innerWidth": 3}),
    (Order, {"number": 3}),
    (Account, {"userId": 7}),
    (ByName, {"user_id": 7}),
    (ByName, {"userId": 7}),
    (Parcel, {"width": 1, "order": {"number": 2}}),
    (Parcel, {"box": [1, 2]}),
    (Open, {"number": 1.2, "more": {"of": "it"}}),
    (Renamed, {"num": 3}),
    (Prices, {"apple": 3}),
    (Place, [1, "a"]),
    # Other values arrive unchanged.
    (Decimal, Decimal("1.00")),
    (date, date(2026, 1, 1)),
    (datetime, datetime(2026, 1, 1, tzinfo=UTC)),
    (datetime, datetime(2026, 1, 1)),  # noqa: DTZ001 - a naive one stays naive
    (datetime, datetime(2026, 3, 29, 12, tzinfo=BERLIN)),
    (datetime, datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)),
    (time, time(1, 2, 3)),
    (timedelta, timedelta(days=-1, microseconds=1)),
    (UUID, UUID(int=7)),
    (bytes, b"\x00\xff"),
    (bytearray, bytearray(b"a")),
    (set[int], {1, 2}),
    (frozenset[tuple[int, Decimal]], frozenset({(1, Decimal(2))})),
    (tuple[int, ...], (1, 2)),
    (Place, Place(1, "a")),
    (dict[int, str], {1: "a"}),
    (dict[date, tuple[int, int]], {date(2026, 1, 1): (1, 2)}),
    (Size, Size.SMALL),
    (Colour | None, Colour.RED),
    (Line, Line("a")),
    (list[Line], [Line("a"), {"sku": "b"}]),
    (Box, Box(3)),
    (Order, Order(note=[1])),
    (Order, {"note": [1]}),
    (Parcel, Parcel()),
    (Parcel, Parcel.weighed(1)),
    (Account, Account(userId=7)),
    (Street, {"name": "High Street"}),
]
CHANGES: list[tuple[Any, object, str]] = [
    (
        None,
        Decimal("1.0"),
        "`value` was passed as Decimal and would arrive as str: annotate the parameter with Decimal",
    ),
    (int, Decimal("1.0"), "`value` was passed as Decimal and would arrive as str"),
    (str, Decimal("1.0"), "was passed as Decimal and would arrive as str"),
    (Any, date(2026, 1, 1), "was passed as date and would arrive as str"),
    (None, UUID(int=7), "was passed as UUID"),
    (None, b"a", "was passed as bytes"),
    (None, (1, 2), "was passed as tuple and would arrive as list"),
    (list[int], (1, 2), "was passed as tuple and would arrive as list"),
    (None, {1, 2}, "was passed as set and would arrive as list"),
    (set[int], frozenset({1}), "was passed as frozenset and would arrive as set"),
    (set[int], {Size.SMALL}, "was passed as Size and would arrive as int"),
    (
        None,
        {"a": {2: 3}},
        "`value.a` has a key that was passed as int and would arrive as str: annotate .* dict\\[int, ...\\]",
    ),
    (None, [1, [Decimal(2)]], "`value\\[1\\]\\[0\\]` was passed as Decimal"),
    (int, Size.SMALL, "was passed as Size and would arrive as int"),
    (str, Colour.RED, "was passed as Colour and would arrive as str"),
    (None, Place(1, "a"), "was passed as Place and would arrive as list"),
    (dict[str, int], defaultdict(int, a=1), "was passed as defaultdict and would arrive as dict"),
    (dict[str, int], OrderedDict(a=1), "was passed as OrderedDict and would arrive as dict"),
    (None, Line("a"), "was passed as Line and would arrive as dict"),
    (Line, Discounted("a"), "was passed as Discounted and would arrive as Line"),
    (Line, Line(7), "Expected `str`, got `int` - at `value.sku`"),  # type: ignore[arg-type]  # the test passes a wrong type
    (Line, Line("a", (1, 2)), "`value.price` was passed as tuple"),
    (Line, {"sku": "a", "colour": "red"}, "`value.colour` would not arrive: Line has no such field"),
    (Street, {"name": "a", "town": "b"}, "`value.town` would not arrive"),
    (Order, {"number": "many"}, "Input should be a valid integer"),
    (Order, Rush(), "was passed as Rush and would arrive as Order"),
    (Order, Order(note=Decimal(1)), "`value.note` was passed as Decimal"),
    (Order, {"note": Decimal(1)}, "`value.note` was passed as Decimal and would arrive as str"),
    (Order, {"number": 1, "nubmer": 2}, "`value.nubmer` would not arrive: Order has no such field"),
    (list[Order], [{"nubmer": 2}], "`value\\[0\\].nubmer` would not arrive"),
    (Parcel, {"order": {"nubmer": 2}}, "`value.order.nubmer` would not arrive"),
    (ByAlias, {"user_id": 7}, "`value.user_id` would not arrive"),
    (Parcel, Parcel.weighed(99), "`value._weight` was passed as 99 and would arrive as 1"),
    (Parcel, Parcel.weighed(mark="fragile"), "`value._mark` would not arrive as it was passed: pass it as"),
    (Parcel, Parcel(label="mine"), "`value.label` would not arrive as it was passed"),
    (Login, Login(password=pydantic.SecretStr("open sesame")), "`value.password` was passed as SecretStr"),
    (float, 2**53 + 1, "was passed as 9007199254740993 and would arrive as 9007199254740992.0"),
    (datetime, datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=1))), "`value` was passed as datetime"),
    (None, "\ud800", "`value` can't be written as JSON: it holds half of a surrogate pair"),
    (None, Text("a"), "`value` can't be written as JSON: a value of type Text has no JSON form"),
    (None, (number for number in [1]), "`value` can't be written as JSON: a value of type generator"),
]
NO_NUMBERS: list[tuple[Any, object]] = [
    (float, float("nan")),
    (float | None, float("nan")),
    (float | None, float("-inf")),
    (None, {"a": [float("inf")]}),
    (Line, Line("a", float("nan"))),
    (Decimal, Decimal("NaN")),
    (Decimal, Decimal("sNaN")),
    (Decimal, Decimal("Infinity")),
]


@pytest.mark.parametrize(("annotation", "value"), ARRIVES)
def test_a_value_that_arrives_unchanged_is_accepted(annotation: Any, value: object) -> None:
    assert encoded(annotation, value).startswith(b'{"value":')


@pytest.mark.parametrize(("annotation", "value", "problem"), CHANGES)
def test_a_value_that_would_arrive_changed_is_refused_and_named(annotation: Any, value: object, problem: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=f"(?s)task 'take': .*{problem}"):
        encoded(annotation, value)


@pytest.mark.parametrize(("annotation", "value"), NO_NUMBERS)
def test_a_number_that_json_cannot_express_is_refused(annotation: Any, value: object) -> None:
    with pytest.raises(InvalidArgumentsError, match=r"`value.*` is .*, which JSON can't say: pass None"):
        encoded(annotation, value)


def test_the_refusal_of_a_secret_does_not_contain_it() -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        encoded(Login, Login(password=pydantic.SecretStr("open sesame")))
    assert "sesame" not in str(caught.value)


def test_a_value_may_be_nested_nearly_a_thousand_levels_deep() -> None:
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    assert encoded(None, deep)
