"""Answers to what tabs ask again and again, such as the state of one task: read once for all tabs that show it."""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any

from celeriac_console.web.live.shared_read import SharedRead
from celeriac_console.web.live.stage import TICK

KEPT = 50
"""So many are remembered, those that were asked for last."""


class Answers:
    """The last answer to each question."""

    def __init__(self) -> None:
        self._reads: dict[Hashable, SharedRead[Any]] = {}
        self._lock = Lock()

    def of[T](self, question: Hashable, read: Callable[[], T], *, fresh: bool) -> T:
        """The answer, which is a tick old at most. Raises what `read` raises.

        question: what tells this answer from others; all who give the same ask the same. fresh: read it now, because
        somebody has just opened the screen, or has changed something.
        """
        with self._lock:
            shared = self._reads.pop(question, None) or SharedRead[Any](read, TICK, None)
            self._reads[question] = shared
            while len(self._reads) > KEPT:
                del self._reads[next(iter(self._reads))]
        found = shared.get(fresh=fresh)
        if found.error is not None:
            raise found.error
        answer: T = found.value
        return answer
