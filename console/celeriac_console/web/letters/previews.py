"""The letters that previews of a discard have shown, so that no other letter is deleted.

A time isn't enough to tell them: SQS doesn't say when it moved a letter, which keeps the time of its sending.
"""

import secrets
from threading import Lock

KEPT = 100
"""So many previews are remembered, the newest ones."""
MOST_IDS = 500_000
"""So many letters of all previews are remembered."""


class Previews:
    """What was shown, by the word that a preview's form carries."""

    def __init__(self) -> None:
        self._shown: dict[str, frozenset[str]] = {}
        self._lock = Lock()

    def keep(self, ids: frozenset[str]) -> str:
        """Remember SQS's ids of the letters. Returns the word."""
        word = secrets.token_urlsafe(12)
        with self._lock:
            self._shown[word] = ids
            while len(self._shown) > 1 and (len(self._shown) > KEPT or self._ids > MOST_IDS):
                del self._shown[next(iter(self._shown))]
        return word

    def of(self, word: str) -> frozenset[str]:
        """What was kept. Raises KeyError for a word that isn't known, or is forgotten."""
        with self._lock:
            return self._shown[word]

    @property
    def _ids(self) -> int:
        return sum(len(ids) for ids in self._shown.values())
