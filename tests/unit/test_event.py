"""Typed events: declared once, checked when they are made."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict

import msgspec
import pytest
from pydantic import BaseModel, Field, RootModel

import celeriac
from celeriac import Context, Event, InvalidEventError, Queue, task
from celeriac.enqueue.action import TransactionError
from celeriac.model.event import EventError
from celeriac.testing import Sandbox

queue = Queue("typed-events")


class AsStruct(msgspec.Struct):
    order_id: str
    total: Decimal
    day: date = date(2026, 1, 1)


@dataclass
class AsDataclass:
    order_id: str
    total: Decimal
    day: date = date(2026, 1, 1)


class AsDict(TypedDict):
    order_id: str
    total: Decimal
    day: date


class AsModel(BaseModel):
    order_id: str
    total: Decimal = Field(max_digits=9)
    day: date = date(2026, 1, 1)


EVERY: list[Event[...]] = [Event("order.created", payload) for payload in (AsStruct, AsDataclass, AsDict, AsModel)]


@pytest.mark.parametrize("event", EVERY, ids=lambda event: event.payload.__name__)
def test_every_kind_of_class_is_written_as_json(event: Event[...]) -> None:
    made = event(order_id="o-1", total=Decimal("9.90"), day=date(2026, 2, 3))
    assert made.type == "order.created"
    assert msgspec.json.decode(made.data) == {"order_id": "o-1", "total": "9.90", "day": "2026-02-03"}
    assert repr(made) == "Emission(type='order.created')"


@pytest.mark.parametrize("event", EVERY, ids=lambda event: event.payload.__name__)
@pytest.mark.parametrize(
    "wrong",
    [
        {"order_id": 7},
        {"total": float("nan")},
        {"total": None},
        {"day": datetime(2026, 1, 1, 12, tzinfo=UTC)},
        {"ordre_id": "o-1"},
    ],
    ids=str,
)
def test_data_that_does_not_fit_is_refused_by_its_field(event: Event[...], wrong: dict[str, Any]) -> None:
    if event.payload is AsModel and "ordre_id" in wrong:
        pytest.skip("pydantic ignores fields that it doesn't know")
    with pytest.raises(InvalidEventError, match=r"event order\.created: ") as refused:
        event(**{"order_id": "o-1", "total": Decimal(5), "day": date(2026, 1, 1)} | wrong)
    assert next(iter(wrong)) in str(refused.value)


def test_a_field_that_is_missing_is_named() -> None:
    for event in EVERY:
        with pytest.raises(InvalidEventError, match="total"):
            event(order_id="o-1", day=date(2026, 1, 1))


def test_a_value_that_its_readers_would_not_get_is_refused_with_the_cure() -> None:
    class Loose(msgspec.Struct):
        amount: Any

    with pytest.raises(InvalidEventError, match=r"`data.amount` .* Decimal .*annotate the field with Decimal"):
        Event("paid", Loose)(amount=Decimal(5))


class Pair(NamedTuple):
    a: int


class InOrder(msgspec.Struct, array_like=True):
    a: int


class Texts(RootModel[list[str]]): ...


@pytest.mark.parametrize("payload", [int, dict, Pair, InOrder, Texts, AsStruct("o-1", Decimal(1)), lambda: None])
def test_a_class_whose_objects_have_no_named_fields_is_refused(payload: Any) -> None:
    with pytest.raises(EventError, match="give it a class with fields"):
        Event("order.created", payload)


@pytest.mark.parametrize("name", ["", "order.*", "order.?", "a[b]", 7, None, "a\nb"])
def test_a_name_that_no_event_can_have_is_refused(name: Any) -> None:
    with pytest.raises(EventError, match="Event"):
        Event(name, AsStruct)


OrderCreated = Event("typed.created", AsStruct)
ran: list[Any] = []


@task(queue, on=OrderCreated)
def by_event(ctx: Context, order_id: str, total: Decimal) -> None:
    ran.append((order_id, total))


@task(queue, on="typed.created")
def by_name(order_id: str) -> None:
    ran.append(order_id)


def test_a_typed_event_reaches_those_who_subscribe_by_it_or_by_its_name(sandbox: Sandbox) -> None:
    ran.clear()
    with celeriac.transaction() as tx:
        tx.emit(OrderCreated(order_id="o-1", total=Decimal("1.50")), aggregate="o-1")
    sandbox.drain()
    assert sorted(ran, key=str) == [("o-1", Decimal("1.50")), "o-1"]
    assert (by_event.on, by_event.event, by_name.event) == ("typed.created", OrderCreated, None)


def test_wrong_data_writes_nothing(sandbox: Sandbox) -> None:
    calls = sandbox.calls.total()
    with pytest.raises(InvalidEventError, match="total"), celeriac.transaction() as tx:
        tx.emit("other", {})
        tx.emit(OrderCreated(order_id="o-1", total="much"))  # type: ignore[arg-type]
    assert sandbox.calls.total() == calls


def test_a_mistake_in_emit_is_refused_with_the_cure(sandbox: Sandbox) -> None:
    made = OrderCreated(order_id="o-1", total=Decimal(1))
    wrong: list[tuple[tuple[Any, ...], str]] = [
        ((OrderCreated,), "call the event with its data"),
        ((OrderCreated, {}), "call the event with its data"),
        ((made, {}), "leave the dict out"),
        ((AsStruct("o-1", Decimal(1)),), "got a AsStruct: write the event's name"),
        (("typed.created",), "its data is a NoneType"),
    ]
    for arguments, cure in wrong:
        with pytest.raises(TransactionError, match=cure), celeriac.transaction() as tx:
            tx.emit(*arguments)


def test_a_type_checker_knows_the_parameters_of_every_kind_of_class() -> None:
    """Mypy refuses an `ignore` that isn't needed: so each of these lines is a mistake that it finds."""
    struct, data, model = Event("e", AsStruct), Event("e", AsDataclass), Event("e", AsModel)
    typed = Event("e", AsDict)
    wrong: tuple[Callable[[], object], ...] = (
        lambda: struct(order_id=7, total=Decimal(1)),  # type: ignore[arg-type]
        lambda: struct(order_id="o-1"),  # type: ignore[call-arg]
        lambda: data(order_id=7, total=Decimal(1)),  # type: ignore[arg-type]
        lambda: data(order_id="o-1", totl=Decimal(1)),  # type: ignore[call-arg]
        lambda: model(order_id=7, total=Decimal(1)),  # type: ignore[arg-type]
        lambda: typed(order_id=7, total=Decimal(1), day=date(2026, 1, 1)),  # type: ignore[arg-type]
    )
    for mistake in wrong:
        with pytest.raises(InvalidEventError):
            mistake()
