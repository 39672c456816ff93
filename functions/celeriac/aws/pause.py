"""Waiting, in one place, so that a test's sandbox can let virtual time pass instead."""

import time

wait = time.sleep


async def sleep(seconds: float) -> None:
    """Wait without blocking the event loop."""
    import asyncio  # noqa: PLC0415 - a producer that waits for nothing doesn't need it

    await asyncio.sleep(seconds)
