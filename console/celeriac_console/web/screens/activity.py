"""The activity: what operators did on the page."""

from celeriac_console.terminal.errors import UserError
from celeriac_console.web.activity import store
from celeriac_console.web.activity.store import Line
from celeriac_console.web.screen import Asked, Room, Screen, View

PAGE = 50
MOST_GAPS = 20
"""So many pages without a line are passed by: numbers that were given, and whose lines couldn't be written."""
LONGEST = 18
"""The most digits of a line's number."""


def read(asked: Asked) -> View:
    """The newest lines, or those before a number."""
    before = asked.query.get("before")
    if before is not None and (not before.isdecimal() or len(before) > LONGEST):
        raise UserError(f"before is the number of a line, not {before[:40]!r}")
    last = int(before) - 1 if before is not None else store.last()
    lines: list[Line] = []
    for _ in range(MOST_GAPS):
        lines = store.read(last + 1, PAGE)
        last -= PAGE
        if lines or last <= 0:
            break
    older = last + 1 if last > 0 and lines else None
    return View({"lines": lines, "older": older}, "")


ROOM = Room((Screen("/activity", "Activity", "activity.html", read, menu="Activity"),))
