"""The runs of a task that have ended."""

from typing import Any

from celeriac.leases.history import ENDED
from celeriac.leases.runs import NoHistoryError
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.times import instant
from celeriac_console.web.screen import Asked, Room, Screen, View
from celeriac_console.web.screens.tasks import task_of

PAGE = 50
_FILTERS = ("state", "since", "until")


def read(asked: Asked) -> View:
    """The last runs, or those that the filters leave."""
    task = task_of(asked.path["name"])
    filters = {name: asked.query.get(name, "").strip() for name in _FILTERS}
    state = next((each for each in ENDED if each == filters["state"]), None)
    if filters["state"] and state is None:
        raise UserError(f"choose how they ended: {', '.join(ENDED)}")
    since, until = (instant(filters[name]) if filters[name] else None for name in ("since", "until"))
    try:
        runs = task.runs(state=state, since=since, until=until, limit=PAGE)
    except NoHistoryError as error:
        raise UserError(str(error)) from error
    data: dict[str, Any] = {
        "task": task.name,
        "runs": runs,
        "filters": filters,
        "ends": ENDED,
        "earlier": runs[-1].ended_at.isoformat() if len(runs) == PAGE else "",
    }
    words = [word for name in _FILTERS if filters[name] for word in (f"--{name}", filters[name])]
    return View(data, command("runs", task.name, *words), title=f"Runs of {task.name}")


ROOM = Room((Screen("/runs/{name:path}", "Runs", "runs.html", read),))
