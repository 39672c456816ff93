"""Compressed answers, for requests of the page itself only.

The length of a compressed page tells something of its secrets to who can choose a part of it and read the length
(https://www.breachattack.com). Another site could choose it, so what its pages ask for is never compressed; each
browser of today says who asks. The token of forms is written in another way each time, see `Session.token`.
"""

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

OWN = frozenset({"same-origin", "none"})
LEVEL = 5
SMALLEST = 1000


class Compressed:
    """An ASGI application whose answers are compressed."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._compressed = GZipMiddleware(app, minimum_size=SMALLEST, compresslevel=LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        is_own = scope["type"] == "http" and Headers(scope=scope).get("sec-fetch-site") in OWN
        await (self._compressed if is_own else self._plain)(scope, receive, send)
