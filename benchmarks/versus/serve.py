"""The project's emulator without two of its waits. AWS has no such waits, and each would slow one side.

A long poll of MiniStack 1.5.33 looks for messages only every 100 ms, which would slow the rivals' workers. Its Lambda
waits 50 ms after a look that found nothing, which would slow Celeriac. Here both look every 2 ms. The emulator's own
Python runs this file. Besides local/celeriac_local/emulator/ only this file changes MiniStack's internals.
"""

import asyncio
import runpy
import sys
from pathlib import Path
from typing import Any

from ministack.services import lambda_svc, sqs

LOOK_EVERY_SECONDS = 0.002


class Impatient:
    """asyncio with shorter sleeps, for a module that sleeps between looks."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, LOOK_EVERY_SECONDS))


if __name__ == "__main__":
    sqs.asyncio = Impatient()
    lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS = LOOK_EVERY_SECONDS  # noqa: SLF001
    folder = Path(__file__).resolve().parents[2] / "local" / "celeriac_local" / "emulator"
    sys.path.insert(0, str(folder))
    runpy.run_path(str(folder / "serve.py"), run_name="__main__")
