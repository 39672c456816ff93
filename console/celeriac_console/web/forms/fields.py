"""The fields of a task's form: empty, filled with arguments, or as they were typed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from celeriac import Task
from celeriac.model.values import to_json
from celeriac_console.web.forms.field import Choice, Control, Emptiness, Field
from celeriac_console.web.forms.kind import Kind, as_json, kind_of

MOST_DEFAULT = 60
"""A longer default isn't written out."""
_NO_CHOICE = "choose"
_CONTROLS = frozenset(Control.__value__.__args__)


def fields(
    task: Task[..., Any, Any], values: Mapping[str, object] | None = None, errors: Mapping[str, str] | None = None
) -> list[Field]:
    """A field for each parameter of a task.

    values: arguments to start from, as JSON types, such as those of a message; None for an empty form. A parameter that
    isn't in them is left out. errors: by the parameter's name.
    """
    return [_field(task, name, values, (errors or {}).get(name, "")) for name in task.signature.fields]


def typed(task: Task[..., Any, Any], form: Mapping[str, str], errors: Mapping[str, str]) -> list[Field]:
    """The fields of a form that was sent, with what was typed and with the errors that `arguments` has raised."""
    again = []
    for field in fields(task, None, errors):
        control = control_of(field, form)
        text = form.get(field.sent_as, "")
        kept = replace(field, control=control, value=text, means=form.get(field.empty_as, field.means))
        if control == "checkbox":
            kept = replace(kept, value="true" if text == "true" else "false")
        if control == "line" and "\n" in text:
            kept = replace(kept, control="text")
        again.append(kept)
    return again


def unknown(task: Task[..., Any, Any], values: Iterable[str]) -> list[str]:
    """The names among arguments that are no parameters of the task: its form has no field for them."""
    return [name for name in values if name not in task.signature.fields]


def control_of(field: Field, form: Mapping[str, str]) -> Control:
    """The control that was drawn for a field in a form that was sent."""
    said = form.get(field.control_as, "")
    return said if said in _CONTROLS else field.control  # type: ignore[return-value]  # `Control` lists them


def meanings(task: Task[..., Any, Any], name: str, kind: Kind) -> tuple[Emptiness, ...]:
    """What an empty control of a parameter may stand for, the usual one first."""
    is_required = task.signature.is_required(name)
    found: list[Emptiness] = [] if is_required else ["default"]
    if kind.takes_null and (is_required or task.signature.default(name) is not None):
        found.append("null")
    if not found:
        found.append("wrong")  # nobody sends an empty text by leaving a field out
    if kind.takes_empty_text:
        found.append("text")
    return tuple(found)


def _field(task: Task[..., Any, Any], name: str, values: Mapping[str, object] | None, error: str) -> Field:
    kind = kind_of(task.signature.types[name])
    is_required = task.signature.is_required(name)
    default = "" if is_required else _default(task.signature.default(name))
    means = meanings(task, name, kind)
    control = _control(kind, is_required=is_required)
    value, meant = "false" if control == "checkbox" else "", means[0]
    if values is not None and name in values:
        control, value, meant = _drawn(kind, control, values[name], means)
    words: dict[Emptiness, str] = {
        "default": f"left out: {default}" if default else "left out",
        "null": "null",
        "text": "an empty text",
        "wrong": "not allowed",
    }
    empty = tuple(Choice(one, words[one]) for one in means) if len(means) > 1 else ()
    return Field(
        name,
        kind.written,
        control,
        value,
        is_required and means[0] == "wrong" and control != "checkbox",
        _choices(kind, control, "" if empty else _NO_CHOICE if means[0] == "wrong" else words[means[0]]),
        empty,
        meant,
        ". ".join(_notes(kind, control, default, key=task.key == name)),
        error,
    )


def _control(kind: Kind, *, is_required: bool) -> Control:
    if kind.control == "checkbox" and (kind.takes_null or not is_required):
        return "select"
    return kind.control


def _drawn(kind: Kind, control: Control, value: object, means: tuple[Emptiness, ...]) -> tuple[Control, str, Emptiness]:
    if value is None and kind.takes_null:
        return control, "", "null" if "null" in means else means[0]
    if value == "" and "text" in means:
        return control, "", "text"
    drawn, text = kind.draw(value)
    return (control if drawn == "checkbox" else drawn), text, means[0]


def _choices(kind: Kind, control: Control, empty: str) -> tuple[Choice, ...]:
    if control != "select":
        return ()
    known = kind.choices or (Choice("true", "true"), Choice("false", "false"))
    return (Choice("", empty or "empty"), *known)


def _notes(kind: Kind, control: Control, default: str, *, key: bool) -> Iterable[str]:
    if control == "json" and kind.control != "json":
        yield "JSON: a text is written with quotes"
    elif kind.note:
        yield kind.note
    if default:
        yield f"default {default}"
    if key:
        yield "its idempotency key"


def _default(value: object) -> str:
    try:
        text = as_json(msgspec.to_builtins(value, str_keys=True, enc_hook=to_json))
    except Exception:  # noqa: BLE001 - an object of the user's without a JSON form
        return "the function's own"
    return text if len(text) <= MOST_DEFAULT else "the function's own"
