"""The project's emulator, with long polls that answer as soon as a message comes, as SQS's do.

MiniStack 1.5.33 looks only every 100 ms, its own Lambda at once: the rivals' workers, which live of long polls, would
pay for that. Run by the emulator's own Python.
"""

import asyncio
import runpy
import sys
from pathlib import Path
from typing import Any

from ministack.services import sqs

LOOK_EVERY_SECONDS = 0.002


class Impatient:
    """asyncio, for a module that sleeps between looks."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, LOOK_EVERY_SECONDS))


if __name__ == "__main__":
    sqs.asyncio = Impatient()
    folder = Path(__file__).resolve().parents[2] / "local" / "emulator"
    sys.path.insert(0, str(folder))
    runpy.run_path(str(folder / "serve.py"), run_name="__main__")
