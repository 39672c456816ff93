"""A form's fields from a task's signature, and the arguments from a sent form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from celeriac import InvalidArgumentsError, Task
from celeriac.declare import schema

START = "arg."
"""Before each parameter's name in a form."""
OMIT = "omit."
"""The field that says that a parameter keeps its default."""


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter."""

    name: str
    kind: str
    """`text`, `number`, `bool`, or `json` for anything else."""
    type: str
    """Its type, as people write it."""
    text: str
    """What stands in the field."""
    is_required: bool
    is_left_out: bool = False
    """Whether the task's default applies."""
    error: str = ""


def fields(task: Task[..., Any, Any], arguments: Mapping[str, Any]) -> list[Field]:
    """The fields of a form that shows these arguments."""
    properties = schema.of_arguments(task.signature).properties
    return [
        Field(
            name,
            kind := _kind(properties.get(name, {})),
            _written(hint),
            _text(kind, arguments[name]) if name in arguments else _text(kind, properties[name].get("default", "")),
            task.signature.is_required(name),
            name not in arguments and not task.signature.is_required(name),
        )
        for name, hint in task.signature.types.items()
    ]


def read(task: Task[..., Any, Any], form: Mapping[str, str]) -> tuple[dict[str, Any], list[Field], str]:
    """The arguments in a form, its fields with their errors, and an error of them all; empty if the task takes them."""
    arguments: dict[str, Any] = {}
    found: list[Field] = []
    for field in fields(task, {}):
        text = form.get(START + field.name, "")
        left_out = not field.is_required and form.get(OMIT + field.name) == "yes"
        read_, error = field, ""
        if not left_out:
            try:
                arguments[field.name] = _value(field.kind, text)
                task.signature.arrived(field.name, arguments[field.name])
            except ValueError:
                error = "a number is needed" if field.kind == "number" else "this is no JSON"
            except InvalidArgumentsError as refused:
                error = str(refused).partition(": ")[2]
        found.append(replace(read_, text=text, is_left_out=left_out, error=error))
    if any(field.error for field in found):
        return arguments, found, ""
    try:
        task.signature.decode(msgspec.json.encode(arguments))
    except InvalidArgumentsError as refused:
        return arguments, found, str(refused)
    return arguments, found, ""


def _kind(its: Mapping[str, Any]) -> str:
    kinds = {"string": "text", "integer": "number", "number": "number", "boolean": "bool"}
    return kinds.get(its.get("type", ""), "json") if isinstance(its.get("type"), str) else "json"


def _written(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)


def _text(kind: str, value: Any) -> str:
    if kind == "text" and isinstance(value, str):
        return value
    return "" if value == "" else json.dumps(value, ensure_ascii=False, indent=2 if kind == "json" else None)


def _value(kind: str, text: str) -> Any:
    # A browser sends each line of a textarea with a carriage return.
    return text.replace("\r\n", "\n") if kind == "text" else msgspec.json.decode(text.strip().encode())
