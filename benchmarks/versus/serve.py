"""The project's emulator, without two waits of its own that AWS doesn't have, one on each side of the comparison.

A long poll of MiniStack 1.5.33 looks for messages every 100 ms only, which the rivals' workers would pay for; and its
Lambda, once it has looked in vain, looks again after 50 ms, which Celeriac would pay for. Here both look every 2 ms.
Run by the emulator's own Python. Besides local/celeriac_local/emulator/ the only place that reaches into MiniStack.
"""

import asyncio
import runpy
import sys
from pathlib import Path
from typing import Any

from ministack.services import lambda_svc, sqs

LOOK_EVERY_SECONDS = 0.002


class Impatient:
    """asyncio, for a module that sleeps between looks."""

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
