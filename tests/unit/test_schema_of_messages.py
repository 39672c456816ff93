"""What `celeriac schema` says about a task's message is what the consumer accepts."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Meta, Struct
from pydantic import BaseModel

from celeriac import Context, Event, InvalidArgumentsError, MalformedMessageError, Queue, Task, task
from celeriac.declare.schema import OF_PYDANTIC
from celeriac.model.message import decode
from celeriac_console.schema.document import of_event, of_task
from tests.support.schema_values import accepted, mixed

queue = Queue("schemas")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Address(Struct):
    street: str
    days: dict[date, int] = {}
    floor: Annotated[int, Meta(ge=0, le=200)] | None = None


class Closed(Struct, forbid_unknown_fields=True, rename="camel"):
    first_name: str
    inner: "Closed | None" = None


class Cat(Struct, tag="cat"):
    lives: int


class Dog(Struct, tag="dog"):
    born: date


@dataclass
class Point:
    x: float
    at: datetime | None = None


class Options(TypedDict):
    deep: bool
    since: NotRequired[time]


class Pair(NamedTuple):
    left: int
    right: bytes = b""


@task(queue, key="order")
def plain(ctx: Context, order: str, count: int, ratio: float, urgent: bool, note: str | None = None) -> None:  # noqa: FBT001, PLR0917
    """Do something plain.

    Not in the description.
    """


@task(queue)
def said_in_text(  # noqa: PLR0917
    day: date,
    at: datetime,
    aware: Annotated[datetime, Meta(tz=True)],
    naive: Annotated[datetime, Meta(tz=False)],
    clock: time,
    took: timedelta,
    id_: UUID,
    content: bytes,
) -> None: ...


@task(queue)
def numbers(
    price: Decimal,
    prices: list[Decimal],
    maybe: Decimal | None = None,
    some: Annotated[int, Meta(gt=0, lt=10)] = 5,
    even: Annotated[int, Meta(multiple_of=2)] = 2,
) -> None: ...


@task(queue)
def collections(  # noqa: PLR0917
    unique: set[int],
    fixed: tuple[int, str],
    several: tuple[date, ...],
    by_number: dict[int, str],
    by_id: dict[UUID, Decimal],
    by_colour: dict[Colour, int],
    by_ratio: dict[float, int],
    by_word: dict[Literal["a", "b"], int],
    short: Annotated[str, Meta(min_length=1, max_length=5, pattern="^[a-z]+$")] = "a",
) -> None: ...


@task(queue)
def classes(  # noqa: PLR0917
    address: Address,
    closed: Closed | None,
    pet: Cat | Dog,
    point: Point,
    options: Options,
    pair: Pair,
    colour: Colour,
    level: Level,
    choice: Literal["a", 3],
    mix: int | date | list[timedelta] | dict[int, bytes] | None = None,
) -> None: ...


@task(queue)
def anything(first, second: Any = None, third: list | None = None) -> None:  # type: ignore[no-untyped-def, type-arg]  # noqa: ANN001
    ...


EVERY: list[Task[..., Any, Any]] = [plain, said_in_text, numbers, collections, classes, anything]


def takes(one: Task[..., Any, Any], body: str) -> bool:
    """Whether the consumer can read the message."""
    try:
        one.signature.decode(decode(body).args)
    except (InvalidArgumentsError, MalformedMessageError):
        return False
    return True


def message_of(one: Task[..., Any, Any], args: Any) -> dict[str, Any]:
    return {"task": one.name, "args": args}


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
def test_the_schema_is_one(one: Task[..., Any, Any]) -> None:
    Draft202012Validator.check_schema(of_task(one))


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(data=st.data())
def test_what_the_schema_accepts_the_consumer_reads(one: Task[..., Any, Any], data: st.DataObject) -> None:
    schema = of_task(one)
    args = data.draw(accepted(schema["properties"]["args"], schema.get("$defs", {})))
    body = message_of(one, args)
    Draft202012Validator(schema).validate(body)
    assert takes(one, json.dumps(body)) or _cannot_be_said(one, body)


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(data=st.data())
def test_what_the_schema_refuses_the_consumer_refuses(one: Task[..., Any, Any], data: st.DataObject) -> None:
    schema = of_task(one)
    args = data.draw(mixed(schema["properties"]["args"], schema.get("$defs", {})))
    body = message_of(one, args)
    accepts = Draft202012Validator(schema).is_valid(body)
    assert accepts == takes(one, json.dumps(body)) or (accepts and _cannot_be_said(one, body))


def _cannot_be_said(one: Task[..., Any, Any], body: dict[str, Any]) -> bool:
    """Whether the consumer refuses what no schema can refuse: a day that doesn't exist, a number that is too large."""
    try:
        one.signature.decode(json.dumps(body["args"]).encode())
    except InvalidArgumentsError as error:
        why = ("Invalid RFC3339", "out of range", "Expected `int`, got `float`")
        return any(each in str(error) for each in why)
    return False


class Customer(BaseModel):
    name: str
    since: date
    parent: "Customer | None" = None


@task(queue)
def models(customer: Customer, others: list[Customer], seen: dict[int, date] | None = None) -> None: ...


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(data=st.data())
def test_models_of_pydantic_have_pydantics_schema(data: st.DataObject) -> None:
    schema = of_task(models)
    name = f"{Customer.__module__}.Customer.Customer"
    args = schema["properties"]["args"]["properties"]
    assert args["others"]["items"] == {"$ref": f"#/$defs/{name}", "$comment": OF_PYDANTIC}
    days = st.dates().map(str)
    customers = st.recursive(
        st.builds(lambda day: {"name": "a", "since": day}, days),
        lambda inner: st.builds(lambda day, parent: {"name": "a", "since": day, "parent": parent}, days, inner),
        max_leaves=3,
    )
    body = message_of(models, {"customer": data.draw(customers), "others": data.draw(st.lists(customers, max_size=2))})
    Draft202012Validator(schema).validate(body)
    assert takes(models, json.dumps(body))
    wrong = message_of(models, {"customer": {"name": "a"}, "others": []})
    assert not Draft202012Validator(schema).is_valid(wrong)
    assert not takes(models, json.dumps(wrong))


ENVELOPES: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"id": "7", "key": "k", "enqueued_at": "2026-01-01T00:00:00Z", "due_at": "2026-01-02T00:00:00+01:00"}, True),
    ({"id": None, "key": None, "enqueued_at": None, "due_at": None, "v": None, "stored": None}, True),
    ({"v": 1, "unknown": [1]}, True),
    ({"id": "x" * 129}, False),
    ({"key": "x" * 1025}, False),
    ({"key": [1]}, False),
    ({"enqueued_at": "yesterday"}, False),
    ({"due_at": 5}, False),
    ({"v": "1"}, False),
    ({"task": ""}, False),
    ({"args": []}, False),
    ({"args": '{"order": "o-1"}'}, False),
]


@pytest.mark.parametrize(("more", "is_right"), ENVELOPES, ids=str)
def test_the_fields_beside_the_arguments(more: dict[str, Any], *, is_right: bool) -> None:
    args = {"order": "o-1", "count": 1, "ratio": 1, "urgent": True}
    body = {"task": "plain", "args": args} | more
    assert Draft202012Validator(of_task(plain)).is_valid(body) is is_right
    assert takes(plain, json.dumps(body)) is is_right


def test_the_schema_names_what_json_schema_has_no_word_for() -> None:
    schema = of_task(plain)
    assert schema["description"] == "Do something plain."
    assert schema["x-celeriac"] == {
        "queue": "schemas",
        "fifo": False,
        "former_queues": [],
        "key": "order",
        "delivery": "effectively_once",
        "on": None,
    }
    args = of_task(numbers)["properties"]["args"]
    assert args["required"] == ["price", "prices"]
    assert args["properties"]["some"] == {
        "type": "integer",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 10,
        "default": 5,
    }


class Emitted(Struct):
    number: int
    note: str = ""
    inner: "Emitted | None" = None


class Sparse(Struct, omit_defaults=True):
    number: int
    note: str = ""


def test_an_events_schema_tells_what_is_emitted() -> None:
    event = of_event(Event("made", Emitted), [])
    assert event["required"] == ["number", "note", "inner"]  # those with a default are written too
    assert event["$defs"].keys() == {"Emitted"}
    sparse = of_event(Event("made", Sparse), [])
    assert (sparse["required"], "$defs" in sparse) == (["number"], False)
    written = Event("made", Emitted)(number=5, inner=Emitted(3)).data
    Draft202012Validator(event).validate(msgspec.json.decode(written))


def test_an_events_dates_have_their_form() -> None:
    at = of_event(Event("moved", Point), [])["properties"]["at"]
    assert Draft202012Validator(at).is_valid(datetime(2026, 1, 1, tzinfo=UTC).isoformat())
    assert not Draft202012Validator(at).is_valid("today")
