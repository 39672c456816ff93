"""What a template draws for one parameter of a task."""

from dataclasses import dataclass
from typing import Literal

type Control = Literal["line", "text", "number", "checkbox", "select", "date", "datetime", "time", "json"]
"""The control of a field: `line` and `text` hold a text of one and of several lines, `json` any value."""

type Emptiness = Literal["default", "null", "text", "wrong"]
"""What an empty control stands for: the parameter is left out, null, an empty text, or a mistake."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a select."""

    value: str
    shown: str


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter."""

    name: str
    """The parameter's."""
    type: str
    """Its annotation, as people write it."""
    control: Control
    value: str
    """What the control holds. Of a checkbox, `true` if it is checked."""
    is_required: bool
    choices: tuple[Choice, ...] = ()
    """Of a select."""
    empty: tuple[Choice, ...] = ()
    """What an empty control may stand for, if that isn't clear: the options of a second, small select."""
    means: str = ""
    """The chosen one of `empty`."""
    note: str = ""
    """A short hint: the form of the value, the default."""
    error: str = ""
    """Why the value was refused."""

    @property
    def sent_as(self) -> str:
        """The name of its control in the form."""
        return f"arg.{self.name}"

    @property
    def empty_as(self) -> str:
        """The name of the select that says what an empty control stands for."""
        return f"empty.{self.name}"

    @property
    def control_as(self) -> str:
        """The name of the hidden input that says which control was drawn."""
        return f"control.{self.name}"
