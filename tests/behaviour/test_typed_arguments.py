"""The signature is the schema: arguments arrive with the types that the signature names, or not at all."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pytest

from celeriac import InvalidArgumentsError, Queue, task
from celeriac.testing import Sandbox

jobs = Queue("jobs", batch_size=10)
received: list[object] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    received.clear()


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(TypedDict):
    street: str
    town: NotRequired[str]


@dataclass
class Line:
    sku: str
    count: int = 1
    tags: list[str] = field(default_factory=list)


class Box(msgspec.Struct):
    width: Annotated[int, msgspec.Meta(gt=0)]


@task(jobs)
def take_line(value: Line) -> None:
    received.append(value)


@task(jobs)
def take_address(value: Address) -> None:
    received.append(value)


@task(jobs)
def take_box(value: Box) -> None:
    received.append(value)


@task(jobs)
def take_size(value: Literal["small", "large"]) -> None:
    received.append(value)


@task(jobs)
def take_colour(value: Colour) -> None:
    received.append(value)


@task(jobs)
def take_decimal(value: Decimal) -> None:
    received.append(value)


@task(jobs)
def take_datetime(value: datetime) -> None:
    received.append(value)


@task(jobs)
def take_date(value: date) -> None:
    received.append(value)


@task(jobs)
def take_duration(value: timedelta) -> None:
    received.append(value)


@task(jobs)
def take_uuid(value: UUID) -> None:
    received.append(value)


@task(jobs)
def take_optional(value: int | None = None) -> None:
    received.append(value)


@task(jobs)
def take_union(value: int | str) -> None:
    received.append(value)


@task(jobs)
def take_nested(value: dict[str, list[Line]]) -> None:
    received.append(value)


@task(jobs)
def take_anything(value: Any = "left out") -> None:
    received.append(value)


CASES = [
    (take_line, Line("a", 2, ["x"])),
    (take_line, Line("a")),
    (take_address, {"street": "High Street"}),
    (take_address, {"street": "High Street", "town": "Ayr"}),
    (take_box, Box(3)),
    (take_size, "small"),
    (take_colour, Colour.BLUE),
    (take_decimal, Decimal("12.340000000000000000001")),
    (take_datetime, datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)),
    (take_date, date(2026, 1, 2)),
    (take_duration, timedelta(days=1, seconds=1)),
    (take_uuid, UUID(int=7)),
    (take_optional, 3),
    (take_optional, None),
    (take_union, "seven"),
    (take_nested, {"lines": [Line("a"), Line("b", 2)]}),
    (take_anything, {"deep": [1, None, {"er": 2.5}]}),
]


@pytest.mark.parametrize(("taking", "value"), CASES, ids=lambda part: getattr(part, "name", None))
def test_a_value_arrives_as_it_was_sent(sandbox: Sandbox, taking: Any, value: object) -> None:
    taking.enqueue(value)
    sandbox.drain()
    assert received == [value]
    assert type(received[0]) is type(value)


def test_an_argument_that_is_left_out_takes_its_default(sandbox: Sandbox) -> None:
    take_optional.enqueue()
    take_anything.enqueue()
    sandbox.drain()
    assert received == [None, "left out"]


WRONG = [
    (take_line, {"count": 1}, "missing required field `sku` - at `value`"),
    (take_line, {"sku": "a", "count": "1"}, "Expected `int`, got `str` - at `value.count`"),
    (take_line, {"sku": "a", "tags": ["x", 7]}, "Expected `str`, got `int` - at `value.tags[1]`"),
    (take_address, {"street": 7}, "Expected `str`, got `int` - at `value.street`"),
    (take_box, {"width": 0}, "Expected `int` >= 1 - at `value.width`"),
    (take_size, "huge", "Invalid enum value 'huge' - at `value`"),
    (take_colour, "green", "Invalid enum value 'green' - at `value`"),
    (take_decimal, "much", "Invalid decimal string - at `value`"),
    (take_datetime, "yesterday", "Invalid RFC3339 encoded datetime - at `value`"),
    (take_optional, "3", "Expected `int | null`, got `str` - at `value`"),
    (take_nested, {"lines": {}}, "Expected `array`, got `object` - at `value[...]`"),
]


@pytest.mark.parametrize(("taking", "value", "problem"), WRONG, ids=lambda part: getattr(part, "name", None))
def test_producer_and_consumer_refuse_a_wrong_value_and_name_its_field(
    sandbox: Sandbox, send: Callable[[Queue, object], None], taking: Any, value: object, problem: str
) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        taking.enqueue(value)
    assert problem in str(caught.value)

    send(jobs, {"task": taking.name, "args": {"value": value}})
    sandbox.drain()
    assert received == []
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert problem in letter.failure.message


def test_a_value_without_json_form_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentsError, match=r"can't be written as JSON: .*object"):
        take_anything.enqueue(object())
    assert sandbox.calls == {}


def test_large_numbers_arrive_as_they_were_written(sandbox: Sandbox, send: Callable[[Queue, object], None]) -> None:
    send(jobs, '{"task": "take_anything", "args": {"value": 12345678901234567890123}}')
    sandbox.drain()
    assert received == [json.loads("12345678901234567890123")]
