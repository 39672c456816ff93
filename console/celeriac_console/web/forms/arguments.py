"""The arguments of a form that was sent, checked by the task itself."""

from collections.abc import Mapping
from typing import Any

from celeriac import InvalidArgumentsError, Task
from celeriac_console.terminal.errors import UserError
from celeriac_console.web.forms.field import Field
from celeriac_console.web.forms.fields import control_of, fields, meanings
from celeriac_console.web.forms.kind import NotReadError, kind_of

LEFT_OUT = object()
NEEDED = "It is needed: give it a value."


class FormError(UserError):
    """A form whose arguments the task doesn't take."""

    def __init__(self, task: str, errors: Mapping[str, str]) -> None:
        super().__init__(f"task {task!r}: " + " ".join(f"{name}: {why}" for name, why in errors.items()))
        self.errors = errors
        """Why, by the parameter's name; under the empty name, why the task refuses the arguments together."""


def arguments(task: Task[..., Any, Any], form: Mapping[str, str]) -> dict[str, Any]:
    """The arguments as JSON types, as a message holds them. Nothing is sent.

    Raises FormError with every field that is wrong, if the task wouldn't read them.
    """
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in fields(task):
        try:
            value = _value(task, field, form)
            if value is not LEFT_OUT:
                task.signature.arrived(field.name, value)
                found[field.name] = value
        except NotReadError as error:
            errors[field.name] = str(error)
        except InvalidArgumentsError as error:
            errors[field.name] = _reason(task, error)
    if not errors:
        try:
            task.signature.encode(found)
        except InvalidArgumentsError as error:
            text = str(error)
            name = next((name for name in found if f"`{name}`" in text or f"`{name}." in text), "")
            errors[name] = _reason(task, error)
    if errors:
        raise FormError(task.name, errors)
    return found


def misfits(task: Task[..., Any, Any], values: Mapping[str, object]) -> dict[str, str]:
    """Why the task doesn't take arguments as they are, by the parameter's name: those of a message of another release.

    Names that are no parameters aren't told: see `unknown`.
    """
    errors: dict[str, str] = {}
    for name in task.signature.fields:
        if name not in values:
            if task.signature.is_required(name):
                errors[name] = NEEDED
            continue
        try:
            task.signature.arrived(name, values[name])
        except InvalidArgumentsError as error:
            errors[name] = _reason(task, error)
    return errors


def _value(task: Task[..., Any, Any], field: Field, form: Mapping[str, str]) -> object:
    kind = kind_of(task.signature.types[field.name])
    control, text = control_of(field, form), form.get(field.sent_as, "")
    if text or control == "checkbox":
        return kind.read(control, text)
    possible = meanings(task, field.name, kind)
    means = form.get(field.empty_as, "")
    match means if means in possible else possible[0]:
        case "default":
            return LEFT_OUT
        case "null":
            return None
        case "text":
            return ""
    raise NotReadError(NEEDED)


def _reason(task: Task[..., Any, Any], error: InvalidArgumentsError) -> str:
    text = str(error).removeprefix(f"task {task.name!r}: ").replace(" - at `$`", "")
    return text[:1].upper() + text[1:]
