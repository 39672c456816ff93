"""Random values that a JSON Schema accepts, and values that it probably refuses."""

from typing import Any

from hypothesis import strategies as st

type Schema = Any

_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
# No number that an int would refuse as a float: JSON Schema takes 5.0 for an integer.
_WRONG = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([0.5, -1e30, 1e-3])
    | st.sampled_from(
        ["", "x", "5", "2026-01-01", "2026-13-01", "P", "PT", "aGk", "aGk=", "10:00:00", "true", "null", "-"]
    )
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.sampled_from(["x", "5", "a"]), st.integers() | st.text(), max_size=2)
)


def accepted(schema: Schema, definitions: dict[str, Schema]) -> st.SearchStrategy[Any]:
    """Values that the schema accepts."""
    if schema is True or not isinstance(schema, dict):
        return _ANY
    if "$ref" in schema:
        return st.deferred(lambda: accepted(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions))
    if "anyOf" in schema:
        return st.one_of([accepted(each, definitions) for each in schema["anyOf"]])
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "string" if "pattern" in schema:
            texts = st.from_regex(schema["pattern"].removeprefix("^").removesuffix("$"), fullmatch=True)
            return texts.filter(lambda text: len(text) <= schema.get("maxLength", len(text)))
        case "string":
            return st.text(min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 20))
        case "integer":
            low = schema.get("minimum", schema.get("exclusiveMinimum", -101) + 1)
            high = schema.get("maximum", schema.get("exclusiveMaximum", 101) - 1)
            return st.integers(low, high).filter(lambda number: number % schema.get("multipleOf", 1) == 0)
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            return _arrays(schema, definitions)
        case "object":
            return _objects(schema, definitions)
    return _ANY


def mixed(schema: Schema, definitions: dict[str, Schema]) -> st.SearchStrategy[Any]:
    """Values of an object's schema, and such values with one field replaced, removed or added."""

    def change(value: dict[str, Any], field: str, other: Any, how: str) -> dict[str, Any]:
        if how == "replace":
            return value | {field: other}
        return {name: its for name, its in value.items() if name != field} if how == "remove" else value | {"x": other}

    fields = st.sampled_from(sorted(schema["properties"]))
    return st.builds(
        change, accepted(schema, definitions), fields, _WRONG, st.sampled_from(["replace", "replace", "remove", "add"])
    )


def _arrays(schema: Schema, definitions: dict[str, Schema]) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        first = [accepted(each, definitions) for each in schema["prefixItems"]]
        sizes = st.integers(schema.get("minItems", 0), len(first))
        return st.tuples(st.tuples(*first), sizes).map(lambda both: list(both[0][: both[1]]))
    return st.lists(accepted(schema.get("items", True), definitions), max_size=schema.get("maxItems", 3))


def _objects(schema: Schema, definitions: dict[str, Schema]) -> st.SearchStrategy[Any]:
    required = set(schema.get("required", []))
    properties = {name: accepted(each, definitions) for name, each in schema.get("properties", {}).items()}
    must = {name: each for name, each in properties.items() if name in required}
    named = st.fixed_dictionaries(must, optional={name: properties[name] for name in properties.keys() - required})
    if properties or schema.get("additionalProperties") is False:
        return named
    keys = accepted({"type": "string"} | schema.get("propertyNames", {}), definitions)
    return st.dictionaries(keys, accepted(schema.get("additionalProperties", True), definitions), max_size=3)
