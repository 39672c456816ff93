"""Cancels a delayed task: its record says so before its schedule is deleted.

So a copy of its message that is on its way doesn't run. If the command is killed between the two, its schedule fires in
vain, and the same command finishes the rest.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from celeriac.aws import schedules
from celeriac.declare import registry
from celeriac.leases import cancelling
from celeriac.leases.claim import MESSAGE
from celeriac.leases.tombstones import Cancellation
from celeriac_console.delayed.record import key_of
from celeriac_console.delayed.waiting import WORKERS, Waiting


class Outcome(StrEnum):
    """What became of a task that was to be cancelled."""

    CANCELLED = "cancelled"
    ENDED = "ended"
    """It, or another message of its key, has succeeded. Its schedule is deleted: it would have been skipped."""
    RUNNING = "running"
    """It runs now, or its worker has died. Its schedule stays."""
    SENT = "sent"
    """Its schedule fired before it was deleted, and no record keeps its message from running."""


def cancel(one: Waiting) -> Outcome:
    """Cancel a task. Raises AWS's errors; then its schedule is still there."""
    said = _recorded(one)
    if said == "running":
        return Outcome.RUNNING
    was_there = schedules.delete(one.name)
    if said in {"succeeded", "used"}:
        return Outcome.ENDED
    # Scheduler deletes a schedule some time after it has fired.
    is_waiting = was_there and (one.due is None or one.due > datetime.now(UTC))
    return Outcome.CANCELLED if said in {"cancelled", "dead"} or is_waiting else Outcome.SENT


@dataclass(slots=True)
class Cancelling:
    """Cancels tasks, several at a time."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    """The tasks that couldn't be cancelled, each with the reason."""

    def cancel(self, some: Sequence[Waiting]) -> None:
        """Cancel these tasks. An interruption leaves those out that weren't begun."""
        with ThreadPoolExecutor(WORKERS) as pool:
            try:
                for outcome in pool.map(_cancelled, some):
                    if isinstance(outcome, Outcome):
                        self.counts[outcome] += 1
                    else:
                        self.problems.append(outcome)
            finally:
                pool.shutdown(cancel_futures=True)


def _cancelled(one: Waiting) -> Outcome | str:
    """What became of the task, or why it couldn't be cancelled."""
    try:
        return cancel(one)
    except Exception as error:  # noqa: BLE001 - one task must not stop the others; the user is told which one
        return f"{one.name}: {error}"


def _recorded(one: Waiting) -> cancelling.Said | None:
    """What the record says now; None for a task that has none."""
    key = key_of(one)
    if key is None or one.message is None or one.due is None:
        return None
    queue, key_from = registry.queues()[one.queue], MESSAGE if key.is_chosen else ""
    task = registry.tasks[one.message.task]
    said = Cancellation(one.message.id, "an operator", "", datetime.now(UTC))
    once = task.guarantee == "at_most_once"
    return cancelling.cancel(
        task.name, key.full, said, queue.record_retention, once=once, stops=False, key_from=key_from
    )
