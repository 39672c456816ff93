"""Who else of an invocation asks for a limit: so one write may serve several, and a place the next one."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from threading import Lock, RLock

from celeriac.consume.admission.asked import Asked, Beforehand, beforehand
from celeriac.consume.sqs_record import SqsRecord
from celeriac.declare import registry
from celeriac.model.queue import Queue

type Pair = tuple[SqsRecord, Queue]


class Company:
    """The messages of one invocation, as far as they were read beforehand, and the lanes that ask now or run."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._lanes = max((queue.concurrency for _, queue in pairs), default=1)
        self._lock = Lock()
        self._has_limits = _has_limits(pairs)
        self._asking: Counter[str] = Counter()
        # By the keys of limits. A look through all the rest for each message would cost 10,000 messages 10,000 times.
        self._awaiting: Counter[str] = Counter()
        self._newcomers: Counter[str] = Counter()
        self._running = 0
        self._bodies = 0
        self._locks: dict[str, RLock] = {}
        self.rest: dict[str, Beforehand] = {}
        """The messages that haven't asked yet, by SQS's ids."""
        for sqs_record, queue in pairs if self._has_limits else ():
            if (read := beforehand(sqs_record, queue)) is not None:
                self.rest[sqs_record.message_id] = read
                self._count(read, 1)

    @contextmanager
    def asking(self, message_id: str, asked: Asked) -> Iterator[None]:
        """In the block, a lane asks for these limits."""
        with self._lock:
            if (read := self.rest.pop(message_id, None)) is not None:
                self._count(read, -1)
            self._asking.update(asked.keys)
        try:
            yield
        finally:
            with self._lock:
                self._asking.subtract(asked.keys)

    def begins(self) -> None:
        """A lane runs its task."""
        with self._lock:
            self._running += 1

    def ends(self) -> None:
        """A lane's task has ended."""
        with self._lock:
            self._running -= 1

    def begins_a_body(self) -> bool:
        """A lane calls a task, with or without limits.

        Returns whether another lane is free, or nobody of the queue waits for limits.
        """
        with self._lock:
            self._bodies += 1
            return self._bodies < self._lanes or not self._has_limits

    def ends_a_body(self) -> None:
        """A task has ended."""
        with self._lock:
            self._bodies -= 1

    @property
    def free_lanes(self) -> int:
        """How many lanes could begin now: none is taken by a message that has its start."""
        return max(1, self._lanes - self._running)

    def newcomers(self, key: str) -> int:
        """How many messages ask for a limit's key, or will, and have no slot in its line; at least 1."""
        with self._lock:
            return max(1, self._newcomers[key] + self._asking[key])

    @property
    def only_runs(self) -> bool:
        """Whether a task runs, and no message of this invocation will ask for anything any more."""
        with self._lock:
            return self._bodies > 0 and not self.rest and not self._asking.total()

    def is_awaited(self, key: str) -> bool:
        """Whether a message of this invocation will ask for a key."""
        with self._lock:
            return self._awaiting[key] > 0

    def lock_of(self, key: str) -> RLock:
        """The lock of those who write a limit's item."""
        return self._locks.setdefault(key, RLock())

    def next_ones(self, most: int) -> list[Beforehand]:
        """The next messages that will ask, at most so many."""
        with self._lock:
            return list(islice(self.rest.values(), most))

    def _count(self, read: Beforehand, by: int) -> None:
        for name, key in read.asked.names_and_keys:
            self._awaiting[key] += by
            if name not in read.slots:
                self._newcomers[key] += by


def _has_limits(pairs: Sequence[Pair]) -> bool:
    """Whether a task of these queues has limits: else nothing is read twice."""
    queues = {queue for _, queue in pairs}
    return any(task.limits and any(map(task.runs_from, queues)) for task in registry.tasks.values())
