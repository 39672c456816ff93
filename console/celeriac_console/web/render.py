"""Answers: a screen as HTML or JSON, an error as a sentence with what to do next."""

from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from celeriac_console.explain import explanation
from celeriac_console.terminal.errors import UserError
from celeriac_console.web import shown
from celeriac_console.web.guard.headers import PRIVATE
from celeriac_console.web.live.stage import TICK
from celeriac_console.web.screen import Asked, Screen, View
from celeriac_console.web.screens import ROOMS

_made = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_made.filters |= shown.FILTERS


def screen(screen: Screen, asked: Asked, path: str) -> Response:
    """A screen, or the page of the error that kept it from being read."""
    try:
        view = screen.read(asked)
        if asked.query.get("format") == "json":
            body = msgspec.json.format(msgspec.json.encode(view.data), indent=2)
            return Response(body, media_type="application/json", headers=PRIVATE)
        return _page(screen.template, asked, view, title=view.title or screen.title, path=path, live=screen)
    except Exception as error:  # noqa: BLE001 - `failed` raises those that it can't explain
        return failed(error, asked)


def failed(error: Exception, asked: Asked) -> Response:
    """The page of an error. An error that nobody can explain is raised."""
    if isinstance(error, LookupError) and type(error) is LookupError:
        sentence, status = str(error), 404
    else:
        found = explanation(error)
        if found is None:
            raise error
        sentence, status = found[0], 400 if isinstance(error, UserError) else 502
    if asked.query.get("format") == "json":
        return Response(msgspec.json.encode({"error": sentence}), status, PRIVATE, "application/json")
    view = View({"sentence": sentence}, "")
    answer = _page("error.html", asked, view, title="Not shown", path="", live=None)
    answer.status_code = status
    return answer


def refused(sentence: str, status: int) -> Response:
    """A page without anything of the stage, for who may not see it."""
    return HTMLResponse(_made.get_template("refused.html").render(sentence=sentence), status, PRIVATE)


def entered(cookie: str) -> Response:
    """The page of who has come in. It leads to the overview.

    It is no redirect: a browser doesn't send a SameSite=Strict cookie with one, if another program's link began it.
    """
    return HTMLResponse(_made.get_template("entered.html").render(), 200, {**PRIVATE, "set-cookie": cookie})


def _page(template: str, asked: Asked, view: View, *, title: str, path: str, live: Screen | None) -> HTMLResponse:
    session = asked.operator.session
    said, session.said = session.said, []
    menu = [(each.menu, each.path) for room in ROOMS for each in room.screens if each.menu]
    frame: dict[str, Any] = {
        "title": title,
        "path": path,
        "menu": menu,
        "identity": asked.shared.identity,
        "operator": asked.operator,
        "said": said,
        "command": view.command,
        "query": {name: value for name, value in asked.query.items() if name != "format"},
        "cost": asked.shared.live.cost if live and live.is_live and not live.is_free else None,
        "tick_seconds": int(TICK.total_seconds()) if live and live.is_live else 0,
    }
    return HTMLResponse(_made.get_template(template).render(frame | dict(view.data)), 200, PRIVATE)
