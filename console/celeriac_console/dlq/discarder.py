"""Discard dead letters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock

from celeriac.aws import sqs
from celeriac_console.dlq.queue_reader import Pass, Taken, delete
from celeriac_console.rate import Rate


@dataclass(slots=True)
class Discarder:
    """Visits letters, and deletes those that `is_meant` selects."""

    reading: Pass
    is_meant: Callable[[Taken], bool]
    pace: Rate
    advance: Callable[[int], object]
    most: int | None = None
    """The pass ends when so many are deleted; None: when all letters are visited."""
    seen: int = 0
    discarded: int = 0
    _lock: Lock = field(default_factory=Lock)

    def visit(self, taken: Sequence[Taken]) -> set[str]:
        """Delete the selected letters. Returns the message ids of the deleted ones."""
        meant = [one for one in taken if self.is_meant(one)]
        if meant:
            self.pace.wait(len(meant))
        deleted = delete(sqs.url(self.reading.name), meant)
        with self._lock:
            self.seen += len(taken)
            self.discarded += len(deleted)
            if self.most is not None and self.discarded >= self.most:
                self.reading.stop()
        self.advance(len(taken))
        return deleted
