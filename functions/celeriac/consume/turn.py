"""A lane's wait for its turn."""

import time

from celeriac.consume.received import Received
from celeriac.execute.call import TakeTurn, TaskCalls


def turn(received: Received, seconds: float | None = None, *, after_others: bool = False) -> TaskCalls[bool]:
    """Wait for the turn; False if it hasn't come within `seconds`."""
    asked_at = time.monotonic()
    has_turn, _ = yield TakeTurn(seconds, after_others)
    received.facts.waited_seconds += time.monotonic() - asked_at
    return bool(has_turn)
