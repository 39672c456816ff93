"""What happened, in order and with times: the calls of all workers, their deaths, and what the ledger got."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Charge:
    """An entry of the outside ledger."""

    at: float
    """Unix time."""
    worker: str
    task: str
    key: str
    attempt: int
    is_late: bool
    """Its worker had been frozen and woken: nothing can fence an effect outside."""
    ended: bool = False
    """The entry was left at the end of the body, not at its start."""


@dataclass
class Story:
    started: float = field(default_factory=time.time)
    lines: list[str] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    """What was left at the start of a body."""
    ends: list[Charge] = field(default_factory=list)
    """What was left at the end of a body."""
    dead: set[str] = field(default_factory=set)
    """The workers that died in the middle of their work."""
    told: set[str] = field(default_factory=set)
    """The workers that were told to end."""
    _writing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def ran_again(self) -> int:
        """How many runs began after an earlier run of the same message had ended: its success was not recorded."""
        return sum(any(_of(end) == _of(run) and end.at < run.at for end in self.ends) for run in self.charges)

    def tell(self, who: str, what: str) -> None:
        with self._writing:
            self.lines.append(f"{time.time() - self.started:7.3f}  {who:10} {what}")

    def charge(self, worker: str, entry: dict[str, Any], *, is_late: bool) -> None:
        with self._writing:
            left = Charge(time.time(), worker, **entry, is_late=is_late)
            (self.ends if left.ended else self.charges).append(left)


def _of(charge: Charge) -> tuple[str, str, int]:
    """The attempt that an entry is of."""
    return charge.task, charge.key, charge.attempt
