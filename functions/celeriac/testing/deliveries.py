"""How a standard queue delivers its messages: SQS promises each at least once, in any order."""

import copy
import random
from datetime import timedelta
from typing import Any

from celeriac.testing.clock import Clock
from celeriac.testing.moto_speed import unix_time_millis

# A second copy turns up at once, or so much later.
LATEST_COPY = timedelta(minutes=5)


class Deliveries:
    """Delivers a share of the messages twice, and all in a random order, the same for the same seed."""

    def __init__(self, clock: Clock, *, duplicates: float = 0.0, reorders: bool = False, seed: int = 0) -> None:
        if not 0 <= duplicates <= 1:
            raise ValueError(f"duplicates is {duplicates}, a share of the messages from 0 to 1")
        self._clock, self._duplicates, self._reorders = clock, duplicates, reorders
        self._chance = random.Random(seed)  # noqa: S311 - this randomness decides nothing secret

    def reorder(self, queue: Any) -> None:
        """Let moto's queue return its messages in another order."""
        if self._reorders and not queue.fifo_queue:
            self._chance.shuffle(queue._messages)  # noqa: SLF001 - moto has no public way

    def duplicate(self, queue: Any, received: set[str]) -> None:
        """Let some of the messages that moto's queue has just returned turn up again, whether they are deleted or not.

        `received` are their ids. A message turns up twice at most.
        """
        if not self._duplicates or queue.fifo_queue:
            return
        for message in [message for message in queue._messages if message.id in received]:  # noqa: SLF001
            if getattr(message, "is_doubled", False) or self._chance.random() >= self._duplicates:
                continue
            message.is_doubled = True
            twin = copy.copy(message)
            twin.receipt_handle, twin._old_receipt_handles = None, []  # noqa: SLF001
            after = self._chance.choice([timedelta(), LATEST_COPY * self._chance.random()])
            twin.visible_at = unix_time_millis() - 1 + after / timedelta(milliseconds=1)
            queue._messages.append(twin)  # noqa: SLF001
            self._clock.remind(after)
