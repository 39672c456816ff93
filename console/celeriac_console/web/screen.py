"""What a screen and an action are: pure declarations, which `screens/` lists and `app` serves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from celeriac_console.web.guard.operator import Operator
from celeriac_console.web.shared import Shared


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, read."""

    path: Mapping[str, str]
    """The parts of the URL that a screen's path names."""
    query: Mapping[str, str]
    """The URL's filters. Of one that is given twice, the last."""
    form: Mapping[str, str]
    """The fields of a form that was sent; empty for a request that only reads."""
    operator: Operator
    shared: Shared
    is_tick: bool = False
    """Whether an open tab asks again for the part of a screen that changes."""


@dataclass(frozen=True, slots=True)
class View:
    """What a screen shows."""

    data: Mapping[str, Any]
    """For the template, and for `?format=json`."""
    command: str
    """The command line that shows the same."""
    title: str = ""
    """If it isn't the screen's own."""
    is_live: bool | None = None
    """Whether an open tab asks again, if it isn't as the screen says."""


@dataclass(frozen=True, slots=True)
class Done:
    """What an action did."""

    said: str
    """A sentence that the next page shows."""
    url: str
    """The next page."""


@dataclass(frozen=True, slots=True)
class Again:
    """A form that is shown again, because it was refused: with what was typed, and why. Nothing was done."""

    template: str
    view: View
    path: str
    """The URL where the form stands."""


@dataclass(frozen=True, slots=True)
class Screen:
    """A page at a URL. It reads, and changes nothing."""

    path: str
    title: str
    template: str
    read: Callable[[Asked], View]
    """Runs in a thread. Its errors become pages: UserError one of 400, LookupError one of 404."""
    menu: str = ""
    """Its name in the menu, if it is there."""
    is_live: bool = False
    """Whether an open tab asks for it again and again."""
    is_free: bool = False
    """Whether it asks AWS nothing, so that an open tab costs nothing."""


@dataclass(frozen=True, slots=True)
class Action:
    """What a form's button does. It runs for operators who may act, and leaves a line in the activity."""

    path: str
    act: Callable[[Asked], Done | Again]


@dataclass(frozen=True, slots=True)
class Room:
    """What one file of `screens/` brings."""

    screens: tuple[Screen, ...] = ()
    actions: tuple[Action, ...] = field(default=())
