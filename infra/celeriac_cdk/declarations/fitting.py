"""Whether a value of one JSON Schema can be a value of another. It says no only if no value ever fits."""

from typing import Any

from celeriac.declare.schema import OF_PYDANTIC

type Schema = Any

# msgspec reads one of these only from its own form.
_FORMS = frozenset({"date", "date-time", "time", "duration", "uuid"})


def cannot_fit(emitted: Schema, wanted: Schema, of_emitted: dict[str, Schema], of_wanted: dict[str, Schema]) -> str:
    """Return why no value of `emitted` is one of `wanted`; empty if one may be.

    Each comes with the definitions that its references name.
    """
    pairs = [(one, other) for one in _options(emitted, of_emitted) for other in _options(wanted, of_wanted)]
    reasons = [_differ(one, other, of_emitted, of_wanted) for one, other in pairs]
    return next(iter(reasons), "") if all(reasons) else ""


def _differ(one: Schema, other: Schema, of_emitted: dict[str, Schema], of_wanted: dict[str, Schema]) -> str:
    """Return why two options have no value in common; empty if they may have one."""
    if other.get("$comment") == OF_PYDANTIC:
        return ""
    values, allowed = _values(one), _values(other)
    if values is not None and allowed is not None:
        return "" if any(value in allowed for value in values) else f"it is {_shown(values)}, not {_shown(allowed)}"
    kind, kind_wanted = one.get("type"), other.get("type")
    if kind is None or kind_wanted is None or values is not None or allowed is not None:
        return ""
    if kind != kind_wanted and {kind, kind_wanted} != {"integer", "number"}:
        return f"it is {_kind(one)}, not {_kind(other)}"
    form, form_wanted = one.get("format"), other.get("format")
    if form in _FORMS and form_wanted in _FORMS and form != form_wanted:
        return f"it is a {form}, not a {form_wanted}"
    if kind == "object":
        return _objects_differ(one, other, of_emitted, of_wanted)
    return ""


def _objects_differ(one: Schema, other: Schema, of_emitted: dict[str, Schema], of_wanted: dict[str, Schema]) -> str:
    fields, wanted = one.get("properties"), other.get("properties", {})
    if fields is None or one.get("additionalProperties"):
        return ""
    if missing := [name for name in other.get("required", []) if name not in fields]:
        return f"it has no {', '.join(missing)}"
    # A field that may be missing, or that may be a type that holds itself, proves nothing.
    for name in one.get("required", []):
        if (
            name in wanted
            and "$ref" not in fields[name]
            and (why := cannot_fit(fields[name], wanted[name], of_emitted, of_wanted))
        ):
            return f"its {name}: {why}"
    return ""


def _options(schema: Schema, definitions: dict[str, Schema]) -> list[Schema]:
    """Return the alternatives of a schema."""
    if not isinstance(schema, dict):
        return [{}]
    if "$ref" in schema:
        return _options(definitions.get(schema["$ref"].removeprefix("#/$defs/"), {}), definitions)
    if "anyOf" in schema:
        return [option for each in schema["anyOf"] for option in _options(each, definitions)]
    if isinstance(schema.get("type"), list):
        return [schema | {"type": each} for each in schema["type"]]
    return [schema]


def _values(schema: Schema) -> list[Any] | None:
    found: list[Any] | None = [schema["const"]] if "const" in schema else schema.get("enum")
    return found


def _kind(schema: Schema) -> str:
    kind = str(schema["type"])
    return f"{'an' if kind[0] in 'aio' else 'a'} {kind}"


def _shown(values: list[Any]) -> str:
    return " or ".join(map(repr, values))
