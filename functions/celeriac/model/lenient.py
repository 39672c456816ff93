"""Reads messages of other producers: nulls and zeros that mean "not set", and field names that are almost right."""

import json
import re
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import msgspec

from celeriac.model import headers
from celeriac.model.errors import CeleriacError

MOST_NAME = 200
"""The most characters of a task's name."""
BYTE_ORDER_MARK = "\ufeff"
# The zero date of Go and .NET, and the epoch, in any time zone.
_NO_DATES = frozenset({datetime(1, 1, 1), datetime(1970, 1, 1)})  # noqa: DTZ001 - compared without their zones
_NO_UUID = "00000000-0000-0000-0000-000000000000"
_NO_RAW = frozenset({b"null", b"0", b'""'})
_NO_ARGS = frozenset({*_NO_RAW, b"{}", b"[]", b"false"})
_OF_ARGS = frozenset(
    {"arg", "args", "argument", "arguments", "kwargs", "param", "params", "parameter", "parameters", "payload", "data"}
    | {"body", "input", "inputs", "taskargs", "taskkwargs", "jobargs", "taskdata", "jobdata"}
)
_OF_TASK = frozenset({"task", "taskname", "name", "job", "jobname", "type", "function", "func", "method", "action"})
# Longer than an empty object with blanks in it.
_LONG = 16
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def is_no_text(text: str) -> bool:
    """Whether a text means "not set": the empty text, or the UUID of zeros, which many messages would share."""
    return text in {"", _NO_UUID}


def is_no_date(date: datetime) -> bool:
    """Whether a date means "not set"."""
    return date.year in {1, 1970} and date.replace(tzinfo=None) in _NO_DATES


def is_no_args(args: msgspec.Raw) -> bool:
    """Whether arguments are null or an empty object."""
    raw = bytes(args)
    return len(raw) < _LONG and raw.translate(None, b" \t\r\n") in {b"null", b"{}"}


def with_what_is_set(
    body: str, optional: Collection[str], *, unless_version: tuple[int, Collection[str]] = (0, ())
) -> bytes:
    """Return the body without those `optional` fields that are null or zero. A number in `id` or `key` becomes a text.

    Of `headers`, only texts are left. unless_version: fields that are left out of a body that isn't of this version, or
    of a later one: there they are the sender's own.

    Raises msgspec.MsgspecError if the body isn't a JSON object.
    """
    kept: list[bytes] = []
    fields = _fields.decode(body)
    version, later = unless_version
    written = bytes(fields.get("v", msgspec.Raw(b"0")))
    is_older = not (written.isdigit() and int(written) >= version)
    for name, raw in fields.items():
        value = bytes(raw)
        if (value in _NO_RAW and name in optional) or (is_older and name in later):
            continue
        if name in {"id", "key"} and value.lstrip(b"-").isdigit():
            value = b'"' + value + b'"'
        if name == "headers":
            value = msgspec.json.encode(headers.read(value))
        kept.append(msgspec.json.encode(name) + b":" + value)
    return b"{" + b",".join(kept) + b"}"


def misnamed_args(body: str) -> str | None:
    """Return the field in which the sender of a message without `args` may have put the arguments, or None."""
    return next(
        (
            name
            for name, raw in _fields.decode(body).items()
            if name != "args" and _plain(name) in _OF_ARGS and bytes(raw) not in _NO_ARGS
        ),
        None,
    )


def knows_the_format(body: str) -> bool:
    """Return whether a program that knows the message's format wrote it: then it has `v`."""
    found = _loosely(body)
    return isinstance(found, dict) and "v" in found


def misplaced_args(body: str, missing: Iterable[str], ours: Collection[str]) -> list[str]:
    """Return the `missing` parameters that a hand-written message has beside its `args`, or in an object beside them.

    Case, hyphens and underscores don't count: `Days` is `days`. `ours` are the fields that every message may have.
    """
    fields = _fields.decode(body.removeprefix(BYTE_ORDER_MARK))
    # A message with `v` was written by a program that knows the format. It may have a field that is still unknown here.
    if "v" in fields:
        return []
    own = {_plain(name) for name in ours}
    beside = {name: raw for name, raw in fields.items() if _plain(name) not in own}
    found = {_plain(name) for name in beside}
    for name, raw in beside.items():
        if bytes(raw)[:1] == b"{" and name != "headers":
            found.update(_plain(name) for name in _fields.decode(raw))
    return [name for name in missing if _plain(name) in found]


def task_of(body: str) -> str:
    """Return the task's name from a body that can't be read as a whole; empty if there is no name."""
    found = _loosely(body)
    name = found.get("task") if isinstance(found, dict) else None
    return _LONE_SURROGATE.sub("?", name[:MOST_NAME]) if isinstance(name, str) else ""


def id_of(body: str) -> str:
    """Return the message's id from a body that can't be read as a whole; empty if there is no id."""
    found = _loosely(body)
    name = found.get("id") if isinstance(found, dict) else None
    return name if isinstance(name, str) else ""


def problem(body: str) -> str | None:
    """Say what is wrong with a body, if it is one of some common mistakes; else None."""
    try:
        found = json.loads(body, parse_constant=_refuse)
    except _ConstantError as constant:
        return f"it holds {constant}, which is not JSON, though some programs write it: send null, or a text"
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if half := next((name for name, value in _texts(found) if _LONE_SURROGATE.search(value)), None):
        return f"`{half}` holds half of a surrogate pair: its sender has cut a text inside a character"
    if "task" not in found:
        near = next((name for name in found if _plain(name) in _OF_TASK and isinstance(found[name], str)), None)
        return f"it has no `task`, but `{near}`: a message names its task as `task`" if near is not None else None
    return None


def _texts(found: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in found.items():
        if name == "args" and isinstance(value, dict):
            yield from ((f"args.{key}", f"{key}{_dumped(one)}") for key, one in value.items())
        yield name, f"{name}{_dumped(value)}"


def _dumped(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class _ConstantError(CeleriacError):
    """NaN, Infinity or -Infinity."""


def _refuse(constant: str) -> None:
    raise _ConstantError(constant)


def _loosely(body: str) -> Any:
    try:
        return json.loads(body.removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        return None


def _plain(name: str) -> str:
    """Return a name without the differences between languages: case, hyphens and underscores."""
    return re.sub(r"[\W_]", "", name).casefold()
