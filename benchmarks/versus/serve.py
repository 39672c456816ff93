"""The project's emulator without two of its waits, and with a count of its calls.

AWS has no such waits, and each would slow one side. A long poll of MiniStack 1.5.33 looks for messages only every
100 ms, which would slow the rivals' workers. Its Lambda waits 50 ms after a look that found nothing, which would slow
Celeriac. Here both look every 2 ms. The emulator's own Python runs this file. Besides local/celeriac_local/emulator/
only this file changes MiniStack's internals.
"""

import asyncio
import runpy
import sys
from pathlib import Path
from typing import Any

from ministack import app
from ministack.services import lambda_svc, sqs

CALLS = "/bench/calls"
LOOK_EVERY_SECONDS = 0.002


class Impatient:
    """asyncio with shorter sleeps, for a module that sleeps between looks."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, LOOK_EVERY_SECONDS))


class Counting:
    """The emulator, and the number of requests that it has got. A GET of `CALLS` returns the number."""

    def __init__(self, serve: Any) -> None:
        self._serve, self._calls = serve, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == CALLS:
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": str(self._calls).encode()})
            return
        self._calls += scope["type"] == "http"
        await self._serve(scope, receive, send)


if __name__ == "__main__":
    app.app = Counting(app.app)
    sqs.asyncio = Impatient()
    lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS = LOOK_EVERY_SECONDS  # noqa: SLF001
    folder = Path(__file__).resolve().parents[2] / "local" / "celeriac_local" / "emulator"
    sys.path.insert(0, str(folder))
    runpy.run_path(str(folder / "serve.py"), run_name="__main__")
