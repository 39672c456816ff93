"""The page's own files. Their URLs carry a hash of the content, so that a browser may keep them."""

from functools import cache
from hashlib import sha256
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "static"
FOR_A_YEAR = "public, max-age=31536000, immutable"


@cache
def url(name: str) -> str:
    """The URL of a file, by its name below `FOLDER`."""
    return f"/static/{name}?v={sha256((FOLDER / name).read_bytes()).hexdigest()[:12]}"


class Static(StaticFiles):
    """The files. Without the hash, a browser asks each time whether a file has changed."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with a file, or say that there is none. Everybody may ask for one, so nothing else is done for it."""
        try:
            answer = await super().get_response(path, scope)
        except HTTPException as error:
            answer = PlainTextResponse(error.detail, error.status_code)
        has_hash = answer.status_code < 400 and scope["query_string"] == url(path).partition("?")[2].encode()  # noqa: PLR2004 - HTTP's errors
        answer.headers["cache-control"] = FOR_A_YEAR if has_hash else "no-cache"
        return answer
