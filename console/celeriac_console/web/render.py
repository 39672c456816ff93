"""Answers: a screen as HTML or JSON, an error as a sentence with what to do next."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from celeriac_console.explain import explanation, is_of_login
from celeriac_console.stage import clients
from celeriac_console.terminal.errors import UserError
from celeriac_console.web import shown, static_files
from celeriac_console.web.guard.headers import PRIVATE
from celeriac_console.web.live.stage import TICK
from celeriac_console.web.screen import Again, Asked, Screen, View
from celeriac_console.web.screens import ROOMS

UNDER = {
    "/queues/": "/",
    "/jobs": "/dead-letters",
    "/delayed/": "/schedules",
    "/run-again": "/status",
    "/runs/": "/tasks",
}
"""The entry of the menu under which a screen is that has none, by the start of its path."""

_made = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_made.filters |= shown.FILTERS
_made.globals["static"] = static_files.url


def screen(screen: Screen, asked: Asked, path: str) -> Response:
    """A screen, or the page of the error that kept it from being read."""
    try:
        view = screen.read(asked)
        if asked.query.get("format") == "json":
            body = msgspec.json.format(msgspec.json.encode(view.data), indent=2)
            return Response(body, media_type="application/json", headers=PRIVATE)
        return _page(
            screen.template,
            asked,
            view,
            title=view.title or screen.title,
            path=path,
            live=screen.is_live if view.is_live is None else view.is_live,
            costs=screen.is_live and not screen.is_free,
        )
    except Exception as error:  # noqa: BLE001 - `failed` raises those that it can't explain
        return failed(error, asked, path=path if screen.is_live else "")


def failed(error: Exception, asked: Asked, *, path: str = "", title: str = "Not shown", more: str = "") -> Response:
    """The page of an error. An error that nobody can explain is raised.

    path: that of a live screen, which an open tab asks for again: it may be readable by then. title: unless it is that
    nothing was found. more: a further sentence.
    """
    if isinstance(error, LookupError) and type(error) is LookupError:
        sentence, status, title = str(error), 404, "Not found"
    else:
        found = explanation(error)
        if found is None:
            raise error
        if is_of_login(error):
            clients.forget()  # so that the page works again after a new login
        sentence, status = found[0], 400 if isinstance(error, UserError) else 502
    if asked.query.get("format") == "json":
        return Response(msgspec.json.encode({"error": sentence}), status, PRIVATE, "application/json")
    view = View({"sentence": sentence, "more": more}, "")
    answer = _page("error.html", asked, view, title=title, path=path, live=bool(path))
    answer.status_code = status
    return answer


def again(refused: Again, asked: Asked) -> Response:
    """The page of a form that was refused."""
    answer = _page(refused.template, asked, refused.view, title=refused.view.title, path=refused.path, live=False)
    answer.status_code = 422
    return answer


def refused(sentence: str, status: int) -> Response:
    """A page without anything of the stage, for who may not see it."""
    return HTMLResponse(_made.get_template("refused.html").render(sentence=sentence), status, PRIVATE)


def entered(cookie: str) -> Response:
    """The page of who has come in. It leads to the overview.

    It is no redirect: a browser doesn't send a SameSite=Strict cookie with one, if another program's link began it.
    """
    return HTMLResponse(_made.get_template("entered.html").render(), 200, {**PRIVATE, "set-cookie": cookie})


def _page(
    template: str, asked: Asked, view: View, *, title: str, path: str, live: bool, costs: bool = False
) -> HTMLResponse:
    # A tab that asks again takes only a part of the answer, without what actions have said.
    said = taken(asked.operator.session.said) if not asked.is_tick else []
    jobs = [job.progress(whole=asked.operator.sees_arguments) for job in asked.shared.jobs.all()]
    menu = [(each.menu, each.path) for room in ROOMS for each in room.screens if each.menu]
    frame: dict[str, Any] = {
        "title": title,
        "path": path,
        "menu": menu,
        "above": next((entry for start, entry in UNDER.items() if path.startswith(start)), path),
        "identity": asked.shared.identity,
        "operator": asked.operator,
        "said": said,
        "working": [each for each in jobs if not each.is_ended],
        "command": view.command,
        "query": {name: value for name, value in asked.query.items() if name != "format"},
        "cost": asked.shared.live.cost if costs else None,
        "tick_seconds": int(TICK.total_seconds()) if live else 0,
    }
    return HTMLResponse(_made.get_template(template).render(frame | dict(view.data)), 200, PRIVATE)


def taken(said: list[str]) -> list[str]:
    """What is in the list, which is empty then. Of two threads, only one gets a sentence."""
    sentences: list[str] = []
    with suppress(IndexError):
        while True:
            sentences.append(said.pop(0))
    return sentences
