"""The page on the operator's machine: for who has the link that the command printed."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from celeriac_console.web import render
from celeriac_console.web.guard.entry import LocalEntry
from celeriac_console.web.guard.loopback import is_loopback
from celeriac_console.web.guard.operator import Operator, Refused

ENTER = "/enter"
AGAIN = "Stop `celeriac web` with Ctrl-C and start it again: it prints a new link."

OPEN = f"Open the link that `celeriac web` printed. It works once, and the session lasts 12 hours. {AGAIN}"


class OnThisMachine:
    """Lets in who has the link, as the owner of the AWS credentials."""

    def __init__(self, entry: LocalEntry, who: str, *, may_act: bool) -> None:
        self._entry = entry
        self._who = who
        self._may_act = may_act

    async def operator(self, request: Request) -> Operator | Refused:
        """The owner of the credentials, if the browser has the cookie."""
        session = self._entry.session(request.headers.get("cookie", ""))
        return Operator(self._who, self._may_act, session) if session is not None else Refused(OPEN)

    def is_misdirected(self, request: Request) -> str | None:
        """A request to another name than this machine's."""
        if is_loopback(request.headers.get("host", ""), self._entry.port):
            return None
        return f"This page answers only to http://127.0.0.1:{self._entry.port} and http://localhost:{self._entry.port}."

    def routes(self) -> list[Route]:
        """The link's."""
        return [Route(ENTER, self._enter, methods=["GET"])]

    async def _enter(self, request: Request) -> Response:
        if (why := self.is_misdirected(request)) is not None:
            return render.refused(why, 421)
        cookie = self._entry.enter(request.query_params.get("token", ""))
        if cookie is not None:
            return render.entered(cookie)
        if isinstance(await self.operator(request), Operator):
            return RedirectResponse("/", 303)
        return render.refused(f"This link was used, or it is of an earlier start. {AGAIN}", 403)
