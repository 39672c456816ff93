"""The page for people whom a load balancer has signed in."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from celeriac_console.web import render
from celeriac_console.web.deployed.behind import Behind
from celeriac_console.web.deployed.keys import Keys
from celeriac_console.web.deployed.people import person
from celeriac_console.web.deployed.sessions import Sessions
from celeriac_console.web.deployed.token import HEADER, TokenError, claims
from celeriac_console.web.guard.headers import PRIVATE
from celeriac_console.web.guard.operator import Operator, Refused

HEALTH = "/health"
"""What the load balancer asks to learn whether the page runs. It shows nothing of the stage."""
LEAVE = "/leave"
"""The load balancer lets everybody ask for it: else it would sign in again who has just left."""
COOKIE = "AWSELBAuthSessionCookie"
_PARTS = 4
"""A load balancer cuts its cookie into parts of 4 KB, and its longest is 16 KB:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html
"""


class BehindLoadBalancer:
    """Lets in whom the load balancer names, if their claim has one of the values that may look or act."""

    def __init__(self, behind: Behind, keys: Keys) -> None:
        self._behind, self._keys, self._sessions = behind, keys, Sessions()

    async def operator(self, request: Request) -> Operator | Refused:
        """The person, as the identity provider names them."""
        return await run_in_threadpool(self._who, request.headers.getlist(HEADER))

    def is_misdirected(self, request: Request) -> str | None:
        """A request to another name than the page's, as from another site whose name leads here."""
        if request.headers.get("host", "") == self._behind.domain:
            return None
        return f"This page answers only to https://{self._behind.domain}."

    def routes(self) -> list[Route]:
        """Those that show nothing of the stage."""
        return [Route(HEALTH, self._health, methods=["GET"]), Route(LEAVE, self._leave, methods=["GET"])]

    def _who(self, tokens: list[str]) -> Operator | Refused:
        behind = self._behind
        try:
            # With two, one of them isn't the load balancer's.
            found = claims(tokens[0] if len(tokens) == 1 else None, behind, self._keys)
        except TokenError as error:
            return Refused(f"You can't come in: {error}.")
        who = person(found, behind)
        if who is None:
            return Refused(
                f"You are signed in, and none of your values of the claim {behind.claim!r} is one that may see this "
                "page. Ask whoever deploys it to add one.",
                403,
            )
        return Operator(who.name, who.may_act, self._sessions.of(who.id), who.sees_arguments, LEAVE)

    async def _health(self, _request: Request) -> Response:
        return PlainTextResponse("ok", headers=PRIVATE)

    async def _leave(self, request: Request) -> Response:
        """End the load balancer's session, and then that of the identity provider if it says where."""
        if (why := self.is_misdirected(request)) is not None:
            return render.refused(why, 421)
        answer = (
            RedirectResponse(self._behind.sign_out, 303, PRIVATE)
            if self._behind.sign_out
            else render.refused("You have left this page. Your identity provider may still know you.", 200)
        )
        for part in range(_PARTS):
            answer.delete_cookie(f"{COOKIE}-{part}", secure=True, httponly=True)
        return answer
