"""The activity: what operators did on the page."""

from celeriac_console.terminal.errors import UserError
from celeriac_console.web.activity import store
from celeriac_console.web.screen import Asked, Room, Screen, View

PAGE = 50


def read(asked: Asked) -> View:
    """The newest lines, or those before a number."""
    before = asked.query.get("before")
    if before is not None and not before.isdecimal():
        raise UserError(f"before is the number of a line, not {before!r}")
    lines = store.read(int(before) if before else None, PAGE)
    older = lines[-1].number if lines and lines[-1].number > 1 else None
    return View({"lines": lines, "older": older}, "")


ROOM = Room((Screen("/activity", "Activity", "activity.html", read, menu="Activity"),))
