"""The heartbeat of a batch: while it runs, its messages stay invisible and its leases last.

A worker that dies beats no more. Soon after, SQS delivers its messages to another one, which finds the leases run out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

from celeriac.consume.handler import Batch
from celeriac.model.failure import error_type
from celeriac.model.queue import WITHOUT_A_BEAT, Queue
from celeriac.observe.log import logger
from celeriac.worker.protection import Protection

BEATS = 10
"""How many beats fit into that time. So an outage that lasts for nine tenths of it costs nothing."""
TRY_AGAIN = timedelta(seconds=5)
"""How long after a beat that failed the next one comes: so a lease is renewed as soon as AWS can be reached again."""
_JOIN_SECONDS = 2
"""How long the end of a batch waits for a beat that AWS doesn't answer. Nothing that it does then harms anybody."""

current: "Heartbeat | None" = None
"""The heartbeat of the batch that runs now: a sandbox moves its time."""


def length(queue: Queue) -> timedelta:
    """How long the messages of a queue stay invisible without a beat."""
    return min(queue.visibility, WITHOUT_A_BEAT)


class Heartbeat:
    """Beats for one batch, each time that a tenth of `length` is over."""

    def __init__(self, batch: Batch, length: timedelta, protection: Protection) -> None:
        self._batch, self._every, self._length, self._protection = batch, length / BEATS, length, protection
        self._next = datetime.now(UTC) + self._every

    @property
    def left(self) -> timedelta:
        """How long it is until the next beat."""
        return max(self._next - datetime.now(UTC), timedelta())

    def beat(self) -> None:
        """Beat, if it is time to. What AWS refuses is logged."""
        if self.left:
            return
        self._next = datetime.now(UTC) + self._every
        try:
            has_stayed = self._batch.stay(self._length)
        except Exception as error:  # noqa: BLE001 - the next beat may succeed
            logger.warning("a heartbeat failed", extra={"error": error_type(error)})
            has_stayed = False
        if not has_stayed:
            self._next = datetime.now(UTC) + min(TRY_AGAIN, self._every)
        self._protection.begin(self._batch.ends_at)

    def keep_beating(self, ended: Event) -> None:
        """Beat until the batch has ended."""
        while not ended.wait(self.left.total_seconds()):
            self.beat()


@contextmanager
def beating(heartbeat: Heartbeat) -> Iterator[None]:
    """In the block, a separate thread beats."""
    global current  # noqa: PLW0603 - a process runs one batch at a time
    ended = Event()
    thread = Thread(target=heartbeat.keep_beating, args=(ended,), name="heartbeat", daemon=True)
    current = heartbeat
    thread.start()
    try:
        yield
    finally:
        current = None
        ended.set()
        thread.join(_JOIN_SECONDS)
