"""What one schema refuses that another accepts. It compares the schemas that `celeriac schema` writes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

type Schema = Any
"""A schema: a dict, or true or false."""

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
# Words that describe, and refuse nothing.
_SILENT = frozenset({"$comment", "title", "description", "default", "examples", "deprecated", "$defs", "discriminator"})


class Narrowing(NamedTuple):
    """One place where values that were accepted are refused."""

    place: str
    """A path such as `address.street`; empty for the whole."""
    what: str
    """The rest of a sentence that begins with the place."""


class Comparison:
    """Compares two schemas. Their references lead into definitions of their own."""

    def __init__(self, old: dict[str, Schema], new: dict[str, Schema]) -> None:
        """Take the definitions of the older and of the newer schema, by name."""
        self._old = old
        self._new = new

    def refused(
        self, old: Schema, new: Schema, place: str = "", seen: frozenset[tuple[int, int]] = frozenset()
    ) -> Iterator[Narrowing]:
        """What `new` refuses that `old` accepts. What can't be compared, such as two patterns, counts as refused."""
        olds, news = _options(old, self._old), _options(new, self._new)
        pair = (id(olds[0]), id(news[0]))
        if pair in seen:
            return  # a type that holds itself, and is being compared
        seen |= {pair}
        if any(_accepts_all(option) for option in news):
            return
        for option in olds:
            values = _values(option)
            if values is not None:
                gone = [value for value in values if not any(_accepts(other, value) for other in news)]
                if gone:
                    yield Narrowing(place, f"no longer takes {_list(gone)}")
                continue
            tries = [list(self._of_one(option, other, place, seen)) for other in news if _is_near(option, other)]
            if not tries:
                yield Narrowing(place, f"took {name(option)}, and takes only {' or '.join(map(name, news))}")
            elif all(tries):
                yield from min(tries, key=len)

    def _of_one(self, old: Schema, new: Schema, place: str, seen: frozenset[tuple[int, int]]) -> Iterator[Narrowing]:
        """Compare two options of one type."""
        if (only := _values(new)) is not None:
            yield Narrowing(place, f"took {name(old)}, and takes only {_list(only)}")
            return
        form = _form(new)
        if form and form != _form(old):
            yield Narrowing(place, f"took {name(old)}, and takes only {name(new)}")
        elif "pattern" in new and new["pattern"] != old.get("pattern"):
            yield Narrowing(place, f"must now match {new['pattern']}")
        for word in _LOWER:
            if word in new and (word not in old or old[word] < new[word]):
                yield Narrowing(place, f"has the {word} {new[word]} now{_before(old, word)}")
        for word in _UPPER:
            if word in new and (word not in old or old[word] > new[word]):
                yield Narrowing(place, f"has the {word} {new[word]} now{_before(old, word)}")
        if "multipleOf" in new and old.get("multipleOf") != new["multipleOf"]:
            yield Narrowing(place, f"must now be a multiple of {new['multipleOf']}")
        if new.get("uniqueItems") and not old.get("uniqueItems"):
            yield Narrowing(place, "must now have no element twice")
        yield from self._of_objects(old, new, place, seen)
        yield from self._of_arrays(old, new, place, seen)

    def _of_objects(
        self, old: Schema, new: Schema, place: str, seen: frozenset[tuple[int, int]]
    ) -> Iterator[Narrowing]:
        before, now = old.get("properties", {}), new.get("properties", {})
        others_before, others = old.get("additionalProperties", True), new.get("additionalProperties", True)
        for key, its in before.items():
            inner = _inside(place, key)
            if key in now:
                yield from self.refused(its, now[key], inner, seen)
            elif others is False:
                yield Narrowing(inner, "was removed")
            elif others is not True:
                yield from self.refused(its, others, inner, seen)
        for key in new.get("required", []):
            if key not in before:
                yield Narrowing(_inside(place, key), "is new and has no default")
            elif key not in old.get("required", []):
                yield Narrowing(_inside(place, key), "has no default any more")
        if others is False and others_before is not False:
            yield Narrowing(place, "refuses fields that it doesn't know now")
        elif others is not True and others_before is not False:
            yield from self.refused(others_before, others, _inside(place, "*"), seen)
        if "propertyNames" in new:
            names, names_before = ({"type": "string"} | each.get("propertyNames", {}) for each in (new, old))
            for found in self.refused(names_before, names, place, seen):
                yield Narrowing(place, f"has other keys: one {found.what}")

    def _of_arrays(self, old: Schema, new: Schema, place: str, seen: frozenset[tuple[int, int]]) -> Iterator[Narrowing]:
        first, first_before = new.get("prefixItems", []), old.get("prefixItems", [])
        rest, rest_before = new.get("items", True), old.get("items", True)
        for number in range(max(len(first), len(first_before))):
            its = first[number] if number < len(first) else rest
            was = first_before[number] if number < len(first_before) else rest_before
            if was is not False and its is not False:  # the number of elements has words of its own
                yield from self.refused(was, its, f"{place}[{number}]", seen)
        if rest is not True and rest is not False and rest_before is not False:
            yield from self.refused(rest_before, rest, f"{place}[]", seen)


def name(schema: Schema) -> str:
    """What people call the values of a schema."""
    if not isinstance(schema, dict) or _accepts_all(schema):
        return "any value"
    if (values := _values(schema)) is not None:
        return _list(values)
    of_class = schema.get("title") if schema.get("type") == "object" else None
    return str(_form(schema) or of_class or schema.get("type", "another value"))


def _options(schema: Schema, definitions: dict[str, Schema]) -> list[Schema]:
    """The alternatives of a schema, each with one type at most."""
    if not isinstance(schema, dict):
        return [{} if schema else {"enum": []}]
    if "$ref" in schema:
        return _options(definitions.get(schema["$ref"].removeprefix("#/$defs/"), {}), definitions)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return [option for each in schema[word] for option in _options(each, definitions)]
    if "allOf" in schema and len(schema["allOf"]) == 1:
        return _options(schema["allOf"][0], definitions)
    if isinstance(schema.get("type"), list):
        return [schema | {"type": each} for each in schema["type"]]
    return [schema]


def _accepts_all(schema: Schema) -> bool:
    return isinstance(schema, dict) and not schema.keys() - _SILENT


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    found: list[Any] | None = schema.get("enum")
    return found


def _form(schema: Schema) -> str:
    return str(schema.get("format") or schema.get("contentEncoding") or "")


def _is_near(old: Schema, new: Schema) -> bool:
    """Whether a type may be read as another one: then their details decide."""
    was, its = old.get("type"), new.get("type")
    if (only := _values(new)) is not None:
        return any(_is_near(old, {"type": _JSON_TYPES.get(type(value))}) for value in only)
    return its is None or was == its or (was == "integer" and its == "number")


def _accepts(schema: Schema, value: Any) -> bool:
    """Whether an option takes a plain value."""
    if (only := _values(schema)) is not None:
        return any(type(one) is type(value) and one == value for one in only)
    if not _is_near({"type": _JSON_TYPES.get(type(value), "")}, schema):
        return False
    size = len(value) if isinstance(value, str) else value
    low, high = ("minLength", "maxLength") if isinstance(value, str) else ("minimum", "maximum")
    if isinstance(value, str) and (_form(schema) or "pattern" in schema):
        return False  # it may match; a change of this kind is worth a look
    if not isinstance(size, int | float):
        return True
    return bool(schema.get(low, size) <= size <= schema.get(high, size))


def _before(old: Schema, word: str) -> str:
    return f", it was {old[word]}" if word in old else ""


def _inside(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _list(values: list[Any]) -> str:
    return ", ".join(repr(value) for value in values)
