"""Dead letters grouped by kind: letters with the same failure are one entry."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac_console.dlq.letter import attempts_of, died_at, kind_of, reason_of
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.screen import say

EXAMPLE_CHARACTERS = 160


@dataclass(slots=True)
class Kind:
    """Letters with the same failure."""

    fingerprint: str
    task: str
    reason: str
    count: int
    first: datetime
    last: datetime
    most_attempts: int
    example_id: str
    example: str

    def add(self, letter: DeadLetter) -> None:
        """Count one more letter."""
        self.count += 1
        self.first = min(self.first, died_at(letter))
        self.last = max(self.last, died_at(letter))
        self.most_attempts = max(self.most_attempts, attempts_of(letter))


class Kinds:
    """Letters counted by kind. Thread-safe. The memory it needs grows with the kinds, not with the letters."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}
        self._lock = Lock()

    def add(self, letters: Iterable[DeadLetter]) -> None:
        """Count the letters."""
        with self._lock:
            for letter in letters:
                kind = kind_of(letter)
                if kind in self._kinds:
                    self._kinds[kind].add(letter)
                else:
                    died, failure = died_at(letter), letter.failure
                    example = f"{failure.type}: {failure.message}" if failure is not None and failure.type else ""
                    self._kinds[kind] = Kind(
                        kind, letter.task, reason_of(letter), 1, died, died, attempts_of(letter), letter.id, example
                    )

    def most_first(self) -> list[Kind]:
        """The kinds, those with the most letters first."""
        return sorted(self._kinds.values(), key=lambda kind: (-kind.count, kind.fingerprint))

    @property
    def total(self) -> int:
        """The number of all letters."""
        return sum(kind.count for kind in self._kinds.values())


def show_kinds(queue: str, kinds: Kinds, *, stderr: bool = False) -> None:
    """Print the kinds of a queue's letters."""
    found = kinds.most_first()
    of_kinds = f", of {counted(len(found), 'kind')}" if found else ""
    say(f"{counted(kinds.total, 'dead letter')} of {queue}{of_kinds}", stderr=stderr)
    for kind in found:
        span = f"{kind.first:%m-%d %H:%M:%S}" + (f" to {kind.last:%m-%d %H:%M:%S}Z" if kind.count > 1 else "Z")
        say(f"\n{kind.count} {kind.task or '(unreadable)'}: {kind.reason}", style="bold", stderr=stderr)
        say(f"    kind {kind.fingerprint}, {span}, after {counted(kind.most_attempts, 'attempt')}", stderr=stderr)
        if kind.example:
            say(f"    {kind.example.splitlines()[0][:EXAMPLE_CHARACTERS]}", stderr=stderr)
        say(f"    {command('dlq', 'show', queue, kind.example_id)}", stderr=stderr)


def kinds_as_json(queue: str, kinds: Kinds) -> list[dict[str, Any]]:
    """The kinds of a queue, for scripts."""
    return [
        {
            "queue": queue,
            "kind": kind.fingerprint,
            "count": kind.count,
            "task": kind.task,
            "reason": kind.reason,
            "first": kind.first.isoformat(),
            "last": kind.last.isoformat(),
            "attempts": kind.most_attempts,
            "example_id": kind.example_id,
            "example": kind.example,
        }
        for kind in kinds.most_first()
    ]
