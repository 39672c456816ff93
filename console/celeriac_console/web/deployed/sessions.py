"""What the page remembers of each person between two requests. It ends with the process."""

import time
from collections import OrderedDict
from threading import Lock

from celeriac_console.web.guard.operator import Session

SECONDS = 12 * 3600
"""A session that wasn't used for so long begins anew."""
MOST = 1000
"""People at once. The one who has been away longest is forgotten first."""


class Sessions:
    """A session for each person."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, tuple[float, Session]] = OrderedDict()
        self._lock = Lock()

    def of(self, person: str) -> Session:
        """That of a person, by their id."""
        now = time.monotonic()
        with self._lock:
            until, session = self._of.pop(person, (0.0, Session()))
            if until <= now:
                session = Session()
            self._of[person] = now + SECONDS, session
            if len(self._of) > MOST:
                self._of.popitem(last=False)
            return session
