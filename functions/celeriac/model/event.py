"""Typed events: the name of an event and the class of its data, declared once."""

import dataclasses
import typing
from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec

from celeriac.model.errors import CeleriacError, DeclarationError
from celeriac.model.pydantic_types import from_json, known
from celeriac.model.shown import shown
from celeriac.model.values import difference, to_json


class EventError(DeclarationError):
    """An event that can't be declared like this. The message names the cure."""


class InvalidEventError(CeleriacError, TypeError):
    """Data that doesn't fit the event's class. The message names the field. Nothing was written."""


class Emission(msgspec.Struct, frozen=True):
    """One event to emit: what a call of an `Event` returns, and `tx.emit` takes."""

    type: str
    data: str
    """A JSON object."""

    def __repr__(self) -> str:
        """The type alone: the data may be a secret."""
        return shown(self, "type")


class Event[**P]:
    """An event by its name and the class of its data. `P` are the parameters of that class.

    `OrderCreated = Event("order.created", OrderCreatedPayload)`, then `tx.emit(OrderCreated(order_id="o-1"))` and
    `@task(queue, on=OrderCreated)`. The class is a `msgspec.Struct`, a dataclass, a TypedDict or a pydantic model.

    Raises EventError for another class, and for a name that is no event's name.
    """

    def __init__(self, name: str, payload: Callable[P, object]) -> None:
        if str(name) != name or not name or not name.isprintable():
            raise EventError(f"Event({name!r}): name an event, such as order.created")
        if set(name) & set("*?[]"):
            raise EventError(f"Event({name!r}): an event has one name; only on= takes a pattern, such as order.*")
        if not _is_class_of_objects(payload):
            raise EventError(
                f"Event({name!r}): its data is an object of JSON, so give it a class with fields: a msgspec.Struct, a "
                f"dataclass, a TypedDict or a pydantic model, not {getattr(payload, '__qualname__', repr(payload))}"
            )
        self.name = name
        self.payload: Any = payload

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Emission:
        """Make the event's data of the class's arguments, for `tx.emit`.

        Raises InvalidEventError for data that doesn't fit the class, and for data that its readers would not get as it
        was passed.
        """
        try:
            made = self.payload(*args, **kwargs)
        except Exception as error:  # a validator of the user's may raise anything
            raise InvalidEventError(f"event {self.name}: {error}") from error
        try:
            raw = msgspec.json.encode(made, enc_hook=to_json)
        except Exception as error:  # the code of a user's model may raise anything
            raise InvalidEventError(f"event {self.name}: its data can't be written as JSON: {error}") from error
        try:
            arrived = self._decoder.decode(raw)
        except Exception as error:  # as above
            self._compare(made, made)  # the error shows the value in the JSON, which is null for nan
            raise InvalidEventError(f"event {self.name}: {str(error).replace('`$.', '`')}") from error
        self._compare(made, arrived)
        return Emission(self.name, raw.decode())

    def _compare(self, made: object, arrived: object) -> None:
        if (found := difference("data", made, arrived)) is not None:
            cure = found.cure.replace("the parameter", "the field")
            raise InvalidEventError(f"event {self.name}: {found.problem}: {cure}")

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Any]:
        msgspec.json.schema(self.payload, schema_hook=known)  # raises TypeError for a field that can't be read
        return msgspec.json.Decoder(self.payload, dec_hook=from_json)

    def __repr__(self) -> str:
        """The name."""
        return f"<event {self.name}>"


def _is_class_of_objects(payload: Any) -> bool:
    """Whether objects of a class are JSON objects with named fields."""
    if not isinstance(payload, type):
        return False
    if issubclass(payload, msgspec.Struct):
        return not payload.__struct_config__.array_like
    if hasattr(payload, "model_validate"):
        return "root" not in getattr(payload, "model_fields", {})
    return dataclasses.is_dataclass(payload) or typing.is_typeddict(payload)
