"""The ASGI application: the routes of all screens and actions, and what each answer goes through."""

from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from celeriac_console.terminal.errors import UserError
from celeriac_console.web import render
from celeriac_console.web.activity.noted import is_begun
from celeriac_console.web.guard import loopback
from celeriac_console.web.guard.compressed import Compressed
from celeriac_console.web.guard.middleware import WithHeaders
from celeriac_console.web.guard.operator import Operator, Refused
from celeriac_console.web.screen import Action, Again, Asked, Screen
from celeriac_console.web.screens import ROOMS
from celeriac_console.web.shared import Shared
from celeriac_console.web.static_files import Static

LARGEST_FORM = 1_100_000
"""Bytes of a form: a message's largest arguments, encoded."""
_LOOK = "It may be done, or a part of it: look before you do it again."

type Endpoint = Callable[[Request], Awaitable[Response]]


class Entry(Protocol):
    """Who comes in: the implementations are `on_this_machine` and `deployed`."""

    async def operator(self, request: Request) -> Operator | Refused:
        """The person who asks, or why they may not come in."""

    def is_misdirected(self, request: Request) -> str | None:
        """A sentence, if the request wasn't meant for this page; None if it was."""

    def routes(self) -> list[Route]:
        """The routes by which people come in and leave."""


def application(shared: Shared, entry: Entry) -> Starlette:
    """Build the page.

    entry: decides who comes in.
    """
    routes: list[Route | Mount] = [Mount("/static", Static()), *entry.routes()]
    for room in ROOMS:
        routes += [Route(screen.path, _shown(screen, shared, entry), methods=["GET"]) for screen in room.screens]
        routes += [Route(action.path, _acted(action, shared, entry), methods=["POST"]) for action in room.actions]
    return Starlette(
        routes=routes,
        middleware=[Middleware(WithHeaders), Middleware(Compressed)],
        exception_handlers={404: _not_found(shared, entry), 405: _for_forms},
    )


def _shown(screen: Screen, shared: Shared, entry: Entry) -> Endpoint:
    async def answer(request: Request) -> Response:
        asked = await _asked(request, shared, entry, {})
        if isinstance(asked, Response):
            return asked
        return await run_in_threadpool(render.screen, screen, asked, request.url.path)

    return answer


def _acted(action: Action, shared: Shared, entry: Entry) -> Endpoint:
    async def answer(request: Request) -> Response:
        if not loopback.is_same_origin(
            request.headers.get("host", ""), request.headers.get("origin"), request.headers.get("sec-fetch-site")
        ):
            return render.refused("This request comes from another site. Nothing was done.", 403)
        form = await _form(request)
        if form is None:
            return render.refused("This form is larger than a message may be. Nothing was done.", 413)
        asked = await _asked(request, shared, entry, form)
        if isinstance(asked, Response):
            return asked
        if not asked.operator.session.is_token(form.pop("csrf", "")):
            return render.refused("This form is of an earlier session: load its page again. Nothing was done.", 403)
        if not asked.operator.may_act:
            return render.refused("This page is read-only. Nothing was done.", 403)
        return await run_in_threadpool(_done, action, asked)

    return answer


def _done(action: Action, asked: Asked) -> Response:
    try:
        done = action.act(asked)
    except Exception as error:  # noqa: BLE001 - `render.failed` raises those that it can't explain
        # AWS may have carried out what it didn't answer, and an action may be several calls.
        if is_begun(error) and not isinstance(error, UserError):
            return render.failed(error, asked, title="Failed", more=_LOOK)
        return render.failed(error, asked, title="Not done")
    if isinstance(done, Again):
        return render.again(done, asked)
    asked.operator.session.said.append(done.said)
    return RedirectResponse(done.url, 303)


async def _asked(request: Request, shared: Shared, entry: Entry, form: dict[str, str]) -> Asked | Response:
    if (why := entry.is_misdirected(request)) is not None:
        return render.refused(why, 421)
    operator = await entry.operator(request)
    if isinstance(operator, Refused):
        return render.refused(operator.sentence, operator.status)
    is_tick = request.headers.get("hx-request") == "true"
    return Asked(dict(request.path_params), dict(request.query_params), form, operator, shared, is_tick)


async def _form(request: Request) -> dict[str, str] | None:
    """The fields of a form; of one that is there twice, the last. None for a body that is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return None
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _not_found(shared: Shared, entry: Entry) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, _error: Exception) -> Response:
        asked = await _asked(request, shared, entry, {})
        if isinstance(asked, Response):
            return asked
        return render.failed(LookupError("There is no such page."), asked)

    return answer


async def _for_forms(_request: Request, error: Exception) -> Response:
    """Browsers come here after a sign-in in the middle of a form: what was sent is lost on the way."""
    said = "This address takes another kind of request. If you had to sign in just now, your form was lost on the way: "
    answer = render.refused(f"{said}nothing was done. Go back, load the page again, and send it once more.", 405)
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer
