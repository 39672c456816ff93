"""A rate limit that several threads share."""

import time
from threading import Lock

import typer

from celeriac.aws import pause

LEAST, MOST = 0.1, 10_000


def rate_of(text: str) -> float:
    """Parse `50` or `50/s`. Raises typer.BadParameter for another text, and for a rate outside LEAST to MOST."""
    try:
        rate = float(str(text).removesuffix("/s"))
    except ValueError:
        rate = 0.0
    if not LEAST <= rate <= MOST:
        raise typer.BadParameter(f"{text!r} is no rate: write e.g. 50/s, between {LEAST} and {MOST}")
    return rate


class Rate:
    """A limit per second; None for no limit."""

    def __init__(self, a_second: float | None) -> None:
        self._seconds = 1 / a_second if a_second else 0.0
        self._next = time.monotonic()
        self._lock = Lock()

    def wait(self, number: int) -> None:
        """Wait until `number` more messages may be sent."""
        with self._lock:
            now = time.monotonic()
            start = max(self._next, now)
            self._next = start + number * self._seconds
        if start > now:
            pause.wait(start - now)
