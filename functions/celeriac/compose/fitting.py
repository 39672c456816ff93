"""Whether a task's result can be an argument of another task, by their annotations."""

from typing import Any

import msgspec

from celeriac.model.pydantic_types import known

type Schema = dict[str, Any]
# JSON's kinds, with what holds them too.
_HELD_BY = {"integer": {"integer", "number"}}


def problem(result: Any, parameter: Any) -> str:
    """Why a result can't be an argument; empty if it may be one. Types without an annotation or a schema pass."""
    if result is Any or parameter is Any or result == parameter:
        return ""
    if result is type(None):
        return "that task returns nothing" if not _takes_none(parameter) else ""
    try:
        (one, other), parts = msgspec.json.schema_components(
            [result, parameter], schema_hook=known, ref_template="{name}"
        )
    except (TypeError, ValueError):
        return ""
    if _fits(one, other, parts, 0):
        return ""
    return f"{_shown(result)} is no {_shown(parameter)}"


def _takes_none(parameter: Any) -> bool:
    try:
        (schema,), parts = msgspec.json.schema_components([parameter], schema_hook=known, ref_template="{name}")
    except (TypeError, ValueError):
        return True
    return _fits({"type": "null"}, schema, parts, 0)


_DEEPEST = 12


def _fits(one: Schema, other: Schema, parts: dict[str, Schema], depth: int) -> bool:
    """Whether some value of one schema may be one of the other."""
    one, other = parts.get(one.get("$ref", ""), one), parts.get(other.get("$ref", ""), other)
    if depth > _DEEPEST:
        return True
    if "anyOf" in one:
        return any(_fits(each, other, parts, depth + 1) for each in one["anyOf"])
    if "anyOf" in other:
        return any(_fits(one, each, parts, depth + 1) for each in other["anyOf"])
    if "type" not in one or "type" not in other:
        return True  # any value, or one of an enum
    if not _kinds(one) & _kinds(other):
        return False
    if one["type"] == other["type"] == "array" and "items" in one and "items" in other:
        return _of_items(one["items"], other["items"], parts, depth)
    if one["type"] == other["type"] == "object" and "properties" in one and "properties" in other:
        had, wanted = one["properties"], other["properties"]
        return all(name in had for name in other.get("required", ())) and all(
            _fits(had[name], wanted[name], parts, depth + 1) for name in had.keys() & wanted.keys()
        )
    return True


def _of_items(one: Any, other: Any, parts: dict[str, Schema], depth: int) -> bool:
    return not (isinstance(one, dict) and isinstance(other, dict)) or _fits(one, other, parts, depth + 1)


def _kinds(schema: Schema) -> set[str]:
    written = schema["type"]
    kinds: set[str] = set()
    for kind in written if isinstance(written, list) else [written]:
        kinds |= _HELD_BY.get(kind, {kind})
    return kinds


def _shown(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint)
