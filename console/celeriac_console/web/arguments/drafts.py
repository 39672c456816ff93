"""Forms that were refused, so that the next page shows them again with their errors."""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from celeriac_console.web.arguments.fields import Field

MOST = 50


@dataclass(frozen=True, slots=True)
class Draft:
    """A form as it was sent."""

    fields: list[Field]
    error: str
    """What is wrong with all of them together."""


class Drafts:
    """The last refused forms, by session and page. Of very many, the oldest are forgotten."""

    def __init__(self) -> None:
        self._drafts: OrderedDict[tuple[str, str], Draft] = OrderedDict()
        self._lock = Lock()

    def keep(self, session: str, url: str, draft: Draft) -> None:
        """Keep it until it is taken."""
        with self._lock:
            self._drafts[session, url] = draft
            while len(self._drafts) > MOST:
                self._drafts.popitem(last=False)

    def take(self, session: str, url: str) -> Draft | None:
        """The draft of a page, once."""
        with self._lock:
            return self._drafts.pop((session, url), None)
