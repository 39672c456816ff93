"""Waiting, in one place, so that a test's sandbox can let virtual time pass instead."""

import time
from datetime import UTC, datetime

wait = time.sleep


def until(instant: datetime) -> None:
    """Wait until an instant. Threads that wait for instants side by side wait no longer than the last of them."""
    seconds = (instant - datetime.now(UTC)).total_seconds()
    if seconds > 0:
        time.sleep(seconds)


async def sleep(seconds: float) -> None:
    """Wait without blocking the event loop."""
    import asyncio  # noqa: PLC0415 - a producer that waits for nothing doesn't need it

    await asyncio.sleep(seconds)
