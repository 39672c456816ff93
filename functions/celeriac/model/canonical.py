"""The canonical form of a value: equal values have the same form in every process and from every producer.

JSON types; the entries of dicts by key, the elements of sets in order; a float that is a whole number as an int, since
JSON has one kind of number and other languages write 7 for 7.0. The fields of an object keep their declared order, and
lists keep theirs.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from hashlib import sha256
from operator import itemgetter
from typing import Any

import msgspec

from celeriac.model.values import field_names, to_json

FORM = 1
"""The version of the form. Records name it. Records without it are of a release before the form."""
# Larger floats stay floats: some decoders of JSON read an int of more than 64 bits as a float.
_MOST_INT = 2**63
_HASHED = 32
# msgspec makes a list of a set, and leaves a tuple as it is. Keys made of tuples have had Python's text of a tuple.
_ARRAYS = frozenset({list, tuple})
_ATOMS = frozenset({str, int, bool, type(None)})
# A number in an object that may be a whole float. A text may look like one: then the form is walked in vain.
_WHOLE = re.compile(rb"(\.0|[0-9]e[0-9]+)[,\]}]")
_encode = msgspec.json.Encoder(order="deterministic").encode


def plain(value: object) -> Any:
    """`value` as JSON types, in order. Raises TypeError if it has no form, and what the code of a user's model raises.

    >>> plain({"b": {3, 1, 2}, "a": 7.0})
    {'a': 7.0, 'b': [1, 2, 3]}
    """
    return _ordered(unordered(value), value)


def unordered(value: object) -> Any:
    """`value` as JSON types, as it comes: the order of a set's elements differs from process to process."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=to_json)


def whole(form: Any) -> Any:
    """A plain value with an int in place of each float that is a whole number.

    >>> whole({"a": [7.0, 7.5, True]})
    {'a': [7, 7.5, True]}
    """
    if type(form) is float:
        return int(form) if form.is_integer() and abs(form) < _MOST_INT else form
    if type(form) in _ARRAYS:
        return type(form)([one if type(one) in _ATOMS else whole(one) for one in form])
    if type(form) is dict:
        return {key: one if type(one) in _ATOMS else whole(one) for key, one in form.items()}
    return form


def is_nothing(form: Any) -> bool:
    """Whether a plain value says nothing: None, an empty text, list or dict, or a list or dict of nothing else.

    Zero and False say something.
    """
    if isinstance(form, dict):
        return all(is_nothing(one) for one in form.values())
    if isinstance(form, (list, tuple)):
        return all(is_nothing(one) for one in form)
    return form is None or form == ""


def of_texts(texts: Sequence[str]) -> str:
    """Several texts as one, which no other texts make."""
    return _encode(texts).decode()


def hashed(form: dict[str, Any]) -> str:
    """A hash of a plain dict, the same for 7 and 7.0, and in any order of its keys."""
    written = _encode(form)
    if _WHOLE.search(written):
        written = _encode(whole(form))
    return sha256(written).hexdigest()[:_HASHED]


def _ordered(form: Any, value: Any) -> Any:
    """The form of `value` with its dicts and sets in order. Only the value tells a set from a list."""
    if type(form) in _ARRAYS:
        if not isinstance(value, (list, tuple, AbstractSet)) or len(value) != len(form):
            return form
        parts = type(form)(_ordered(one, its) for one, its in zip(form, value, strict=True))
        return sorted(parts, key=_rank) if isinstance(value, AbstractSet) else parts
    if type(form) is not dict:
        return form
    if isinstance(value, Mapping):
        if len(value) != len(form):
            return form
        pairs = zip(form.items(), value.values(), strict=True)
        return dict(sorted(((key, _ordered(one, its)) for (key, one), its in pairs), key=itemgetter(0)))
    if dataclasses.is_dataclass(value):
        form = _complete(form, value)
    names = field_names(value)
    return {key: _ordered(one, getattr(value, names.get(key) or key, None)) for key, one in form.items()}


def _complete(form: dict[str, Any], value: Any) -> dict[str, Any]:
    """The form with all fields: msgspec leaves out a default that wasn't in the JSON from which it made `value`."""
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {
        name: form[name] if name in form else unordered(its) for name, its in fields.items() if its is not msgspec.UNSET
    }


def _rank(form: Any) -> tuple[int, Any]:
    """A sort key: numbers before texts before everything else."""
    if isinstance(form, (int, float)):
        return (0, form)
    return (1, form) if isinstance(form, str) else (2, repr(form))
