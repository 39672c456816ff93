"""The first letters of each dead-letter queue, read once for all tabs, and kept for a short time.

A read hides the letters from other readers for a moment. So of each queue one thread reads at a time, and a group, its
letters and one letter are shown from one read.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Lock

from celeriac.model.queue import Queue
from celeriac_console.dlq.queue_reader import Taken
from celeriac_console.web.letters import reading
from celeriac_console.web.letters.reading import Reading
from celeriac_console.web.letters.turns import JobAtWorkError, Turns

FIRST = 500
MOST = 5_000
"""No screen reads more letters of a queue."""
MOST_BYTES = 32 * 1024 * 1024
"""Of a reading: a letter may have 1 MiB, and its arguments are in memory once more."""
ALL_BYTES = 128 * 1024 * 1024
"""Of all readings. The oldest ones are dropped, and read again when somebody asks."""
KEPT = timedelta(minutes=1)
"""After it, a queue is read again."""
REMEMBERED = timedelta(minutes=15)
"""For so long one letter is still found in an old reading: SQS may give others first when it is asked again."""
QUEUES_AT_ONCE = 16
LEAST_EACH = 20


class Letters:
    """The last reading of each queue."""

    def __init__(self) -> None:
        self._readings: dict[str, Reading] = {}
        """The oldest first."""
        self._lock = Lock()
        self._turns = Turns()

    def of(self, queue: Queue, most: int = FIRST, *, fresh: bool = False, most_bytes: int = MOST_BYTES) -> Reading:
        """The first `most` letters of the queue, at most `MOST`. Raises JobAtWorkError, and AWS's errors."""
        most = max(1, min(most, MOST))
        with self._turns.short(queue.name):
            last = self._last(queue.name, KEPT)
            if last is not None and not fresh and last.is_enough(most, most_bytes):
                return last
            found = reading.read(queue, most, most_bytes)
            self._keep(found)
            return found

    def of_each(self, queues: Sequence[Queue], most: int = FIRST) -> list[Reading]:
        """Letters of several queues: about `most` of all together, of the first queues if there are very many.

        A queue on which a job works is left out. Raises AWS's errors.
        """
        if not queues:
            return []
        each = max(LEAST_EACH, most // len(queues))
        some = queues[: max(1, most // each)]

        def one(queue: Queue) -> Reading | None:
            try:
                return self.of(queue, each, most_bytes=MOST_BYTES // len(some))
            except JobAtWorkError:
                return None

        with ThreadPoolExecutor(min(QUEUES_AT_ONCE, len(some))) as pool:
            return [found for found in pool.map(one, some) if found is not None]

    def find(self, queue: Queue, id_: str) -> tuple[Taken | None, int]:
        """The letter that SQS's id, or the task's, names, among the first `MOST`; and about how many there are.

        Raises JobAtWorkError, and AWS's errors.
        """
        with self._turns.short(queue.name):
            last, older = self._last(queue.name, KEPT), self._last(queue.name, REMEMBERED)
            if last is not None and (one := last.find(id_)) is not None:
                return one, last.total
            if older is not None and (one := older.find_message(id_)) is not None:
                return one, older.total
            one, total = reading.find(queue, id_, MOST)
            if one is not None:
                alone = reading.of_one(queue, one, total)
                has_room = older is not None and older.size + alone.size <= ALL_BYTES // 2
                self._keep(older.and_one(one) if older is not None and has_room else alone)
            return one, total

    @contextmanager
    def acting(self, queue: str) -> Iterator[None]:
        """Act on a letter in the block: nobody else reads the queue. Raises JobAtWorkError."""
        with self._turns.short(queue), self._changing(queue):
            yield

    @contextmanager
    def job(self, queue: str) -> Iterator[None]:
        """Act on all letters in the block: meanwhile, others who want to read them get a JobAtWorkError."""
        with self._turns.long(queue), self._changing(queue):
            yield

    @property
    def size(self) -> int:
        """About how many bytes all readings take."""
        with self._lock:
            return sum(each.size for each in self._readings.values())

    @contextmanager
    def _changing(self, queue: str) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                self._readings.pop(queue, None)

    def _last(self, queue: str, kept: timedelta) -> Reading | None:
        """The last reading, if it isn't older than this."""
        with self._lock:
            found = self._readings.get(queue)
        return found if found is not None and _is_new(found, kept) else None

    def _keep(self, found: Reading) -> None:
        with self._lock:
            self._readings.pop(found.queue, None)
            self._readings[found.queue] = found
            for queue, each in list(self._readings.items()):
                is_too_much = sum(one.size for one in self._readings.values()) > ALL_BYTES
                if not _is_new(each, REMEMBERED) or (is_too_much and each is not found):
                    del self._readings[queue]


def _is_new(found: Reading, kept: timedelta) -> bool:
    # The clock of this machine may be set back.
    return timedelta() <= datetime.now(UTC) - found.at < kept
