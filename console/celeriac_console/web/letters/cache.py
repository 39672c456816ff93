"""The first letters of each dead-letter queue, read once for all tabs.

A read hides the letters from other readers for a moment. So of each queue one thread reads at a time, and a group, its
letters and one letter are shown from one read.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

from celeriac.model.queue import Queue
from celeriac_console.dlq.letter import died_at
from celeriac_console.dlq.queue_reader import WORKERS, Pass, Taken, hidden_for

FIRST = 500
MOST = 5_000
"""No screen reads more letters of a queue."""
KEPT = timedelta(minutes=1)
QUEUES_AT_ONCE = 16
LEAST_EACH = 20


@dataclass(frozen=True, slots=True)
class Reading:
    """The letters that were read of a queue, the newest first."""

    queue: str
    letters: tuple[Taken, ...]
    total: int
    """About how many the queue has."""
    most: int
    at: datetime

    @property
    def is_all(self) -> bool:
        """Whether these are all letters of the queue."""
        return len(self.letters) >= self.total

    def find(self, id_: str) -> Taken | None:
        """The letter that SQS's id, or the task's, names."""
        of_sqs = next((one for one in self.letters if one.message_id == id_), None)
        return of_sqs or next((one for one in self.letters if one.letter.id == id_), None)


class Letters:
    """The last reading of each queue."""

    def __init__(self) -> None:
        self._readings: dict[str, tuple[float, Reading]] = {}
        self._locks: dict[str, Lock] = defaultdict(Lock)
        self._lock = Lock()

    def of(self, queue: Queue, most: int = FIRST, *, fresh: bool = False) -> Reading:
        """The first `most` letters of the queue, at most `MOST`. Raises AWS's errors."""
        most = max(1, min(most, MOST))
        with self.lock(queue.name):
            if not fresh and (found := self.last(queue.name)) is not None and (found.most >= most or found.is_all):
                return found
            reading = _read(queue, most)
            self._readings[queue.name] = (time.monotonic() + KEPT.total_seconds(), reading)
            return reading

    def of_each(self, queues: Sequence[Queue], most: int = FIRST) -> list[Reading]:
        """Letters of several queues: about `most` of all together, of the first queues if there are very many."""
        if not queues:
            return []
        each = max(LEAST_EACH, most // len(queues))
        with ThreadPoolExecutor(min(QUEUES_AT_ONCE, len(queues))) as pool:
            return list(pool.map(lambda queue: self.of(queue, each), queues[: max(1, most // each)]))

    def last(self, queue: str) -> Reading | None:
        """The last reading, if it isn't old."""
        until, reading = self._readings.get(queue, (0.0, None))
        return reading if time.monotonic() < until else None

    def forget(self, queue: str) -> None:
        """Read the queue again when it is asked for: its letters have changed."""
        self._readings.pop(queue, None)

    def lock(self, queue: str) -> Lock:
        """Held by whoever reads the queue."""
        with self._lock:
            return self._locks[queue]


def _read(queue: Queue, most: int) -> Reading:
    found: list[Taken] = []
    reading = Pass(queue, hidden=hidden_for(most), workers=max(1, min(WORKERS, most // 50)), most=most)

    def visit(taken: Sequence[Taken]) -> set[str]:
        found.extend(taken)
        if len(found) >= min(most, reading.total):
            reading.stop()
        return set()

    if reading.total:
        reading.run(visit)
    letters = tuple(sorted(found[:most], key=lambda one: died_at(one.letter), reverse=True))
    return Reading(queue.name, letters, max(reading.total, len(found)), most, datetime.now(UTC))
