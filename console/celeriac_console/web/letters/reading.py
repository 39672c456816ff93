"""Read the first letters of a dead-letter queue: so many, and no more than fit into a part of the memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from sys import getsizeof
from threading import Lock

import msgspec

from celeriac.model.queue import Queue
from celeriac_console.dlq.letter import died_at
from celeriac_console.dlq.queue_reader import Pass, Taken, hidden_for

EACH_WORKER = 50
"""For fewer letters, another connection is no gain: one that finds nothing waits for a second."""

OBJECT = 120
"""Bytes that a value of the arguments takes beside its text: about those of a small dictionary in a list."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The letters that were read of a queue, the newest first."""

    queue: str
    letters: tuple[Taken, ...]
    total: int
    """About how many the queue has."""
    most: int
    """So many were wanted."""
    most_bytes: int
    """So many bytes were allowed."""
    at: datetime
    size: int
    """About how many bytes they take."""
    is_cut: bool
    """Whether fewer than were wanted are kept, because they are large."""

    @property
    def is_all(self) -> bool:
        """Whether these are all letters of the queue."""
        return len(self.letters) >= self.total

    def is_enough(self, most: int, most_bytes: int) -> bool:
        """Whether reading again, with these limits, would find no more letters."""
        return self.is_all or (self.most >= most and not (self.is_cut and self.most_bytes < most_bytes))

    def find(self, id_: str) -> Taken | None:
        """The letter that SQS's id, or the task's, names."""
        return self.find_message(id_) or next((one for one in self.letters if one.letter.id == id_), None)

    def find_message(self, id_: str) -> Taken | None:
        """The letter that SQS's id names."""
        return next((one for one in self.letters if one.message_id == id_), None)

    def and_one(self, one: Taken) -> "Reading":
        """The same with one letter more, which was found later."""
        letters = _newest_first([*self.letters, one])
        return replace(self, letters=letters, total=max(self.total, len(letters)), size=self.size + size_of(one))


def of_one(queue: Queue, one: Taken, total: int) -> Reading:
    """A reading of one letter."""
    return Reading(queue.name, (one,), max(total, 1), 1, 0, datetime.now(UTC), size_of(one), is_cut=False)


def read(queue: Queue, most: int, most_bytes: int) -> Reading:
    """The first letters of the queue: `most`, fewer if these take more bytes. Raises AWS's errors."""
    reading = Pass(queue, hidden=hidden_for(most), most=most, each=EACH_WORKER)
    kept = _Kept(most, most_bytes)

    def visit(taken: Sequence[Taken]) -> set[str]:
        kept.add(taken)
        if kept.is_cut or len(kept.letters) >= min(most, reading.total):
            reading.stop()
        return set()

    if reading.total:
        reading.run(visit)
    letters = _newest_first(kept.letters)
    total = max(reading.total, len(letters) + kept.is_cut)
    return Reading(queue.name, letters, total, most, most_bytes, datetime.now(UTC), kept.size, kept.is_cut)


def find(queue: Queue, id_: str, most: int) -> tuple[Taken | None, int]:
    """The letter that SQS's id, or the task's, names, among the first `most`; and about how many there are.

    Only that letter is kept in memory. Raises AWS's errors.
    """
    reading = Pass(queue, hidden=hidden_for(most), most=most, each=EACH_WORKER)
    found: list[Taken] = []
    seen = 0
    lock = Lock()

    def visit(taken: Sequence[Taken]) -> set[str]:
        nonlocal seen
        with lock:
            seen += len(taken)
            found.extend(one for one in taken if id_ in {one.message_id, one.letter.id})
            if found or seen >= min(most, reading.total):
                reading.stop()
        return set()

    if reading.total:
        reading.run(visit)
    return (found[0] if found else None), reading.total


def size_of(one: Taken) -> int:
    """About how many bytes of memory a letter takes, rather too many than too few."""
    letter, failure = one.letter, one.letter.failure
    texts = [letter.body, letter.missing, *map(str, letter.attributes.values())]
    if failure is not None:
        texts += [failure.message, failure.traceback]
    arguments = msgspec.json.encode(letter.args)
    return OBJECT * (3 + arguments.count(b",")) + len(arguments) + sum(map(getsizeof, texts))


def _newest_first(letters: Sequence[Taken]) -> tuple[Taken, ...]:
    return tuple(sorted(letters, key=lambda one: died_at(one.letter), reverse=True))


class _Kept:
    """Letters up to a number, and up to a size. Several threads add some."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self.letters: list[Taken] = []
        self.size = 0
        self.is_cut = False
        self._most, self._most_bytes = most, most_bytes
        self._lock = Lock()

    def add(self, taken: Sequence[Taken]) -> None:
        """Keep those for which there is room. The first one is kept, however large it is."""
        with self._lock:
            for one in taken:
                if self.is_cut or len(self.letters) >= self._most:
                    return
                size = size_of(one)
                if self.letters and self.size + size > self._most_bytes:
                    self.is_cut = True
                    return
                self.letters.append(one)
                self.size += size
