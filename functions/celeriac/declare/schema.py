"""JSON Schema (2020-12) of what a task takes and of what an event holds.

msgspec and pydantic describe their types. What they leave out, and the consumer insists on, is added here: the forms of
dates, numbers and bytes in a text, and the keys of a dict. Nothing that runs a task uses this module.
"""

import json
import typing
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from celeriac.declare.signature import Signature
from celeriac.model.event import Event
from celeriac.model.message import Message
from celeriac.model.pydantic_types import known
from celeriac.model.values import to_json

type Schema = dict[str, Any]

_YEAR = r"(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_DATE = rf"{_YEAR}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
_ZONE = r"([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])"
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}"
_DECIMAL = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,6})?"
# The last number alone may have a fraction.
_WHOLE, _LAST = r"[0-9]{1,8}", r"[0-9]{1,8}(\.[0-9]{1,9})?"
_HOURS = rf"T({_LAST}H|({_WHOLE}H)?{_LAST}M|({_WHOLE}H)?({_WHOLE}M)?{_LAST}S)"
_DURATION = rf"[+-]?P({_LAST}D|({_WHOLE}D)?{_HOURS})"
_BASE64 = r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_INTEGER = r"-?(0|[1-9][0-9]*)"
_FLOAT = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?"


OF_PYDANTIC = "pydantic reads it, and may convert other values too"
"""The `$comment` of a pydantic model."""


class Fields(NamedTuple):
    """What an object of JSON holds: a schema for each name, the names it must have, and the schemas of named types."""

    properties: dict[str, Schema]
    required: list[str]
    definitions: dict[str, Schema]
    is_open: bool = False
    """Whether it may hold other names too."""


def of_arguments(signature: Signature) -> Fields:
    """The arguments of a task, as the consumer reads them."""
    names = list(signature.types)
    schemas, definitions = _schemas(list(signature.types.values()), emitted=False)
    properties = dict(zip(names, schemas, strict=True))
    for name in names:
        if not signature.is_required(name):
            properties[name] |= _default(signature.default(name))
    return Fields(properties, [name for name in names if signature.is_required(name)], definitions)


def of_event(event: Event[...]) -> Fields:
    """The data of an event, as it is emitted. Raises TypeError for a field that can't be read from JSON."""
    (found,), definitions = _schemas([event.payload], emitted=True)
    if "$ref" in found:
        reference = found["$ref"]
        found = definitions.pop(name := reference.removeprefix("#/$defs/"))
        if f'"{reference}"' in json.dumps([found, definitions]):
            definitions[name] = found  # it holds objects of its own class
    properties = found.get("properties", {})
    for name, computed in getattr(event.payload, "model_computed_fields", {}).items():
        properties.pop(computed.alias or name, None)  # it isn't written, because nothing could read it
    # Fields with a default are written too, unless the class says otherwise.
    required = list(properties)
    if typing.is_typeddict(event.payload):
        required = found["required"]
    elif issubclass(event.payload, msgspec.Struct):
        fields = msgspec.structs.fields(event.payload)
        sparse = event.payload.__struct_config__.omit_defaults
        lacks = {each.encode_name for each in fields if each.default is msgspec.UNSET or (sparse and not each.required)}
        required = [name for name in properties if name not in lacks]
    return Fields(properties, required, definitions, is_open=bool(found.get("additionalProperties")))


def of_message(names: Sequence[str]) -> dict[str, Schema]:
    """The fields of a message with these names, as its decoder reads them."""
    types = {field.name: field.type for field in msgspec.structs.fields(Message)}
    schemas, _ = _schemas([types[name] for name in names], emitted=False)
    return dict(zip(names, schemas, strict=True))


def _default(value: object) -> Schema:
    try:
        return {"default": msgspec.to_builtins(value, str_keys=True, enc_hook=to_json)}
    except Exception:  # noqa: BLE001 - an object of the user's without a JSON form: the schema goes without it
        return {}


def _schemas(types: Sequence[Any], *, emitted: bool) -> tuple[list[Schema], dict[str, Schema]]:
    """A schema for each type, and the named types that they refer to.

    emitted: describe pydantic models as they are written, not as they are read.
    """
    of_models: dict[str, Schema] = {}
    note = {"$comment": OF_PYDANTIC}

    def of_model(model: Any) -> Schema:
        if not hasattr(model, "model_json_schema"):
            return dict(note) if known(model) else {}
        name = f"{model.__module__}.{model.__qualname__}"
        mode = "serialization" if emitted else "validation"
        found: Schema = model.model_json_schema(mode=mode, ref_template=f"#/$defs/{name}.{{model}}")
        of_models.update({f"{name}.{key}": value | note for key, value in found.pop("$defs", {}).items()})
        return found | note

    schemas, components = msgspec.json.schema_components(types, schema_hook=of_model)
    seen: set[int] = set()
    for schema, info in zip(schemas, inspect.multi_type_info(types), strict=True):
        _say_more(schema, info, components, seen)
    return list(schemas), components | of_models


def _say_more(schema: Schema, info: inspect.Type, components: dict[str, Schema], seen: set[int]) -> None:
    """Add to a schema of msgspec what its decoder insists on besides."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    if "$ref" in schema:
        schema = components.get(schema["$ref"].removeprefix("#/$defs/"), schema)
    if id(schema) in seen or "$ref" in schema:  # the reference of a pydantic model leads to pydantic's own schema
        return
    seen.add(id(schema))
    if isinstance(info, inspect.DecimalType):
        schema.pop("type", None)
        schema.pop("format", None)
        text = {"type": "string", "format": "decimal", "pattern": f"^{_DECIMAL}$"}
        schema["anyOf"] = [text, {"type": "number"}]
    elif (pattern := _pattern(info)) is not None:
        schema["pattern"] = f"^({pattern})$"
    elif isinstance(info, inspect.DictType):
        if (of_keys := _of_keys(info.key_type)) is not None:
            schema["propertyNames"] = of_keys
    elif isinstance(info, inspect.SetType | inspect.FrozenSetType):
        schema.pop("uniqueItems", None)  # an element that comes twice is read too
    for part, its in _parts(schema, info):
        _say_more(part, its, components, seen)


def _parts(schema: Schema, info: inspect.Type) -> Iterator[tuple[Schema, inspect.Type]]:
    """The schemas inside a schema, each with its type."""
    if isinstance(info, inspect.UnionType):
        for its in info.types:
            yield from ((option, its) for option in schema["anyOf"] if _is_of(option, its))
    elif isinstance(info, inspect.CollectionType) and "items" in schema:
        yield schema["items"], info.item_type
    elif isinstance(info, inspect.TupleType):
        yield from zip(schema.get("prefixItems", []), info.item_types, strict=True)
    elif isinstance(info, inspect.DictType) and "additionalProperties" in schema:
        yield schema["additionalProperties"], info.value_type
    elif isinstance(info, inspect.StructType | inspect.DataclassType | inspect.TypedDictType | inspect.NamedTupleType):
        if "properties" in schema:
            yield from ((schema["properties"][field.encode_name], field.type) for field in info.fields)
        else:
            yield from zip(
                schema["prefixItems"][-len(info.fields) :], (field.type for field in info.fields), strict=True
            )


_KINDS: dict[str, tuple[type[inspect.Type], ...]] = {
    "array": (inspect.CollectionType, inspect.TupleType),
    "object": (inspect.DictType,),
}
_NAMED = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType, inspect.NamedTupleType)


def _is_of(option: Schema, info: inspect.Type) -> bool:
    """Whether an option of a union is that of a type. A union has one type of each kind at most."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    if "$ref" in option or "anyOf" in option:
        return isinstance(info, _NAMED) and option.get("$ref", "").rpartition(".")[2].endswith(info.cls.__name__)
    if option.get("type") == "string":
        return isinstance(info, inspect.DecimalType) or _pattern(info) is not None
    return isinstance(info, _KINDS.get(option.get("type", ""), ()))


def _pattern(info: inspect.Type) -> str | None:
    """The form of a text that holds a value of the type; None for a type without one."""
    match info:
        case inspect.DateType():
            return _DATE
        case inspect.DateTimeType():
            return f"{_DATE}[Tt ]{_TIME}{_zone(info.tz)}"
        case inspect.TimeType():
            return f"{_TIME}{_zone(info.tz)}"
        case inspect.TimeDeltaType():
            return _DURATION
        case inspect.UUIDType():
            return _UUID
        case inspect.BytesType() | inspect.ByteArrayType() | inspect.MemoryViewType():
            return _BASE64
    return None


def _zone(tz: bool | None) -> str:  # noqa: FBT001 - msgspec's word for it
    return "" if tz is False else _ZONE if tz else f"{_ZONE}?"


def _of_keys(info: inspect.Type) -> Schema | None:
    """The schema of a dict's keys, which are texts in JSON; None if msgspec has said it, or if any text is a key."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    pattern: str | None
    match info:
        case inspect.IntType():
            pattern = _INTEGER
        case inspect.FloatType():
            pattern = _FLOAT
        case inspect.DecimalType():
            pattern = _DECIMAL
        case inspect.EnumType():
            return {"enum": [str(each.value) for each in info.cls]}
        case inspect.LiteralType():
            return {"enum": [str(value) for value in info.values]}
        case _:
            pattern = _pattern(info)
    return {"pattern": f"^({pattern})$"} if pattern is not None else None
