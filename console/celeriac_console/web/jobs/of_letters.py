"""What jobs on dead letters have in common.

An interruption ends the pass over the queue: the letters that the pass holds are given back. So none becomes visible
again while the job still means to send it. To go on is a new pass. What was sent is deleted by then.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from celeriac.model.queue import Queue
from celeriac_console.dlq.queue_reader import Pass
from celeriac_console.web.jobs.work import Number
from celeriac_console.web.letters.chosen import Chosen
from celeriac_console.web.shown import number

OTHERS_HOLD = (
    "couldn't be read: another reader holds them, a FIFO group blocks them, or they are behind the first 120,000: "
    "as many as SQS gives at a time."
)
REST = "What wasn't done is still a dead letter."

type Alone = Callable[[str], AbstractContextManager[None]]
"""Gives its turn at the queue of this name, for a pass."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which letters, and how fast."""

    queue: Queue
    chosen: Chosen
    rate: float | None
    """Letters a second; None for no limit."""


class OfLetters:
    """What a redrive and a discard have in common."""

    def __init__(self, plan: Plan, alone: Alone) -> None:
        self.on = plan.queue.name
        self._plan = plan
        self._alone = alone
        self._reading: Pass | None = None

    def _numbers(self, seen: int, *more: Number) -> list[Number]:
        return [*more, Number(f"looked at, of about {number(self._total)}", seen)]

    @property
    def _total(self) -> int:
        return self._reading.total if self._reading is not None else 0

    @property
    def _missed(self) -> int:
        return self._reading.missed if self._reading is not None else 0

    def _noted(self, **more: str) -> Mapping[str, str]:
        return {"queue": self.on} | dict(self._plan.chosen.noted) | {name: its for name, its in more.items() if its}
