"""Discard dead letters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock

from celeriac.aws import sqs
from celeriac_console.dlq.queue_reader import Pass, Taken, delete


@dataclass(slots=True)
class Discarder:
    """Visits letters, and deletes those that `is_meant` selects."""

    reading: Pass
    is_meant: Callable[[Taken], bool]
    advance: Callable[[int], object]
    seen: int = 0
    discarded: int = 0
    _lock: Lock = field(default_factory=Lock)

    def visit(self, taken: Sequence[Taken]) -> set[str]:
        """Delete the selected letters. Returns the message ids of the deleted ones."""
        deleted = delete(sqs.url(self.reading.name), [one for one in taken if self.is_meant(one)])
        with self._lock:
            self.seen += len(taken)
            self.discarded += len(deleted)
        self.advance(len(taken))
        return deleted
