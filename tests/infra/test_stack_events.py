"""Events and their subscribers at synth: what can't work is refused, what looks forgotten is warned of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict
from uuid import UUID

import pytest
from msgspec import Meta, Struct
from pydantic import BaseModel, ConfigDict

from celeriac import Event, Queue, Task, task
from celeriac.declare import registry
from celeriac.declare.events import declared_events
from celeriac.model.declared import DuplicateNameError
from celeriac.model.errors import DeclarationError
from celeriac.testing.scope import of_this_test
from celeriac_cdk.declarations.events import Emitted, check_subscribers, emitted, warnings
from tests.infra import conftest

queue = Queue("subscribers")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    with registry.only(of_this_test):
        yield


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(Struct):
    street: str
    city: str = ""


class Written(Struct):
    text: str
    number: int
    ratio: float
    price: Decimal
    day: date
    at: Annotated[datetime, Meta(tz=True)]
    uid: UUID
    colour: Colour
    address: Address
    maybe: str | None
    words: list[str]


class Model(BaseModel):
    street: int


class Flat(Struct):
    street: str
    zip_code: str


class Numbered(Struct):
    street: int


MADE = Event("written.made", Written)


def subscriber(function: Callable[..., None], on: str | Event[...] = MADE) -> Task[..., Any, Any]:
    made: Task[..., Any, Any] = task(queue, on=on)(function)
    return made


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("text", str), ("text", str | None), ("text", Any), ("text", date), ("text", Literal["a"]), ("text", Decimal),
        ("number", int), ("number", float), ("number", Decimal), ("number", Annotated[int, Meta(ge=5)]),
        ("ratio", int), ("price", str), ("price", float), ("day", str), ("day", date), ("at", str), ("uid", str),
        ("colour", str), ("colour", Colour), ("colour", Literal["red"]), ("colour", Literal["green", "blue"]),
        ("address", Address), ("address", dict[str, str]), ("address", dict[str, int]), ("address", Any),
        ("address", Model), ("maybe", str), ("maybe", None), ("words", list[str]), ("words", set[int]),
        ("words", tuple[str, int]),
    ],
)  # fmt: skip
def test_a_subscriber_that_may_take_the_event_is_not_refused(field: str, wanted: Any) -> None:
    check_subscribers([_taking(field, wanted)], {MADE.name: MADE})


@pytest.mark.parametrize(
    ("field", "wanted", "why"),
    [
        ("text", int, "it is a string, not an integer"),
        ("text", list[str], "it is a string, not an array"),
        ("number", str, "it is an integer, not a string"),
        ("number", bool, "it is an integer, not a boolean"),
        ("number", date | None, "it is an integer, not a string"),
        ("day", UUID, "it is a date, not a uuid"),
        ("day", Annotated[datetime, Meta(tz=True)], "it is a date, not a date-time"),
        ("colour", Literal["green"], "it is 'blue' or 'red', not 'green'"),
        ("address", str, "it is an object, not a string"),
        ("address", Flat, "it has no zip_code"),
        ("address", Numbered, "its street: it is a string, not an integer"),
        ("maybe", int, "it is a string, not an integer"),
        ("words", dict[str, str], "it is an array, not an object"),
    ],
)
def test_a_subscriber_that_can_never_take_a_field_is_refused(field: str, wanted: Any, why: str) -> None:
    told = f"task 'take' subscribes to 'written.made', and can't take the {field} of the event 'written.made': {why}"
    with pytest.raises(DeclarationError) as refused:
        check_subscribers([_taking(field, wanted)], {MADE.name: MADE})
    assert told in str(refused.value)


def _taking(field: str, wanted: Any) -> Task[..., Any, Any]:
    def take(value: Any) -> None: ...

    take.__annotations__ = {field: wanted}
    take.__code__ = take.__code__.replace(co_varnames=(field,))
    return subscriber(take)


def test_a_parameter_that_the_event_lacks_is_refused() -> None:
    def needs(text: str, missing: int, other: int, given: int = 5) -> None: ...

    with pytest.raises(DeclarationError, match=r"event 'written\.made' has no missing, other: give the"):
        check_subscribers([subscriber(needs)], {MADE.name: MADE})


def test_a_pattern_is_checked_against_every_event_that_it_matches() -> None:
    def needs(total: int) -> None: ...

    class Paid(Struct):
        total: int

    paid = Event("written.paid", Paid)
    by_pattern = subscriber(needs, "written.*")
    check_subscribers([by_pattern], {paid.name: paid})
    with pytest.raises(DeclarationError, match=r"to 'written\.\*', and the event 'written\.made' has no total"):
        check_subscribers([by_pattern], {paid.name: paid, MADE.name: MADE})


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Open(TypedDict):
    a: int
    b: NotRequired[int]


@dataclass
class Unreadable:
    a: Path


def test_a_field_that_may_be_there_is_no_reason_to_refuse() -> None:
    def needs(b: int) -> None: ...

    for payload in (Extra, Open):
        event: Event[...] = Event("open", payload)
        check_subscribers([subscriber(needs, "open")], {"open": event})


def test_a_class_that_json_cannot_hold_is_refused() -> None:
    event: Event[...] = Event("unreadable", Unreadable)
    with pytest.raises(DeclarationError, match="the event 'unreadable': its class can't be read from JSON"):
        check_subscribers([], {"unreadable": event})


def test_the_declared_events_are_those_of_the_modules_and_of_on() -> None:
    def any_(text: str) -> None: ...

    assert declared_events([subscriber(any_)]) == {"written.made": MADE}


def test_two_events_of_one_name_are_refused() -> None:
    def one(text: str) -> None: ...

    def two(text: str) -> None: ...

    both = [subscriber(one), subscriber(two, Event("written.made", Written))]
    with pytest.raises(DuplicateNameError, match=r"two events are named 'written\.made': on= of one and on="):
        declared_events(both)


SOURCE = """
tx.emit("a", {})
tx.emit("b", data={}, aggregate="x")
tx.emit(event="c", data={})
tx.emit(OrderCreated(order_id="o-1"), aggregate="o-1")
tx.emit(made)
logger.emit(record)
emit("d", {})
"""


@pytest.mark.parametrize(
    ("more", "knows_all"),
    [
        ("", True),
        ("tx.emit(name, {})", False),
        ("tx.emit(f'order.{kind}', {})", False),
        ("tx.emit(*both)", False),
        ("tx.emit(**both)", False),
        ("tx.emit(name, data={})", False),
    ],
)
def test_literal_names_of_emitted_events_are_found(tmp_path: Path, more: str, *, knows_all: bool) -> None:
    file = tmp_path / "tasks.py"
    file.write_text(SOURCE + more)
    assert emitted([file]) == Emitted(frozenset({"a", "b", "c"}), knows_all)


def _warned(
    on: list[str], events: list[str], literal: list[str], *, knows_all: bool = True, bus: bool = False
) -> list[str]:
    def any_(text: str = "") -> None: ...

    tasks = [subscriber(any_, each) for each in on]
    made: dict[str, Event[...]] = {name: Event(name, Address) for name in events}
    found = warnings(tasks, made, Emitted(frozenset(literal), knows_all), has_bus=bus)
    return [warning.id for warning in found]


def test_a_name_that_nothing_emits_is_warned_of() -> None:
    assert _warned(["a"], [], []) == ["event-a-not-emitted"]
    assert _warned(["a"], ["a"], []) == []
    assert _warned(["a"], [], ["a"]) == []
    assert _warned(["a.*"], [], []) == []  # it may be meant for events to come
    assert _warned(["a"], [], [], knows_all=False) == []


def test_an_event_without_a_subscriber_is_warned_of() -> None:
    assert _warned([], ["a"], ["b"]) == ["event-a-without-subscriber", "event-b-without-subscriber"]
    assert _warned(["a", "?"], ["a"], ["b"]) == []
    assert _warned([], ["a"], [], bus=True) == []


def test_the_stack_warns_with_an_id_that_can_be_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    def lonely(text: str = "") -> None: ...

    monkeypatch.setattr(conftest, "TASKS", [subscriber(lonely, "nowhere.emitted")])
    (found,) = [each for each in conftest.warnings(conftest.QUEUES, stage="test") if "nowhere.emitted" in each]
    assert "celeriac:event-nowhere.emitted-not-emitted" in found
    assert "lonely subscribes to 'nowhere.emitted', which no task emits and no module declares" in found
