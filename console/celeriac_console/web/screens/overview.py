"""The overview: every queue, problems first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from celeriac.model import names
from celeriac_console.terminal.next_steps import command
from celeriac_console.web.live.alarms import Alarm
from celeriac_console.web.live.counts import Counts
from celeriac_console.web.live.figures import Figures
from celeriac_console.web.screen import Asked, Room, Screen, View

OLD_SECONDS = 900
"""A message that waits longer than SQS can delay one waits for a consumer."""


@dataclass(frozen=True, slots=True)
class Row:
    """A queue as the overview shows it."""

    queue: str
    counts: Counts | None
    """None: it isn't deployed."""
    figures: Figures | None
    consumer: str
    alarms: tuple[str, ...]

    @property
    def dead(self) -> int:
        """Its dead letters."""
        return self.counts["dead"] if self.counts is not None else 0

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, in a few words each, the worst first."""
        oldest = self.figures.oldest_seconds if self.figures is not None else None
        found = (
            ("not deployed", self.counts is None),
            ("dead letters", self.dead > 0),
            ("paused", self.consumer == "paused"),
            (f"consumer {self.consumer}", self.counts is not None and self.consumer not in {"on", "paused"}),
            ("alarm", bool(self.alarms)),
            ("old messages", oldest is not None and oldest > OLD_SECONDS),
        )
        return tuple(name for name, is_so in found if is_so)


def read(asked: Asked) -> View:
    """Every queue with its state, the ones with problems first; then the outbox and the alarms."""
    live = asked.shared.live
    counts, consumers, alarms = live.counts.get(), live.consumers.get(), live.alarms.get()
    figures, outbox, quarantines = live.figures.get(), live.outbox.get(), live.quarantines.get()
    raised = _by_queue(counts.value, names.start(asked.shared.identity.stage), alarms.value)
    wanted = asked.query.get("find", "").lower()
    rows = [
        Row(
            queue.name,
            counts.value[queue.name],
            figures.value.get(queue.name),
            consumers.value.get(queue.name, "none"),
            tuple(raised.get(queue.name, ())),
        )
        for queue in live.queues
        if wanted in queue.name
    ]
    rows.sort(key=lambda row: (not row.problems, -row.dead, row.queue))
    data: dict[str, Any] = {
        "rows": rows,
        "alarms": alarms.value,
        "outbox": outbox.value,
        "quarantines": sorted(quarantines.value),
        "read_at": counts.at,
        "problems_of_reading": sorted({each.problem for each in (counts, consumers, alarms, figures) if each.problem}),
        "find": wanted,
    }
    return View(data, command("queues"))


def _by_queue(names: Iterable[str], start: str, alarms: Sequence[Alarm]) -> dict[str, list[str]]:
    """The raised alarms of each queue whose name they begin with. If that is so of two queues, of the longer name."""
    longest = sorted(names, key=len, reverse=True)
    found: dict[str, list[str]] = {}
    for alarm in alarms:
        short = alarm.name.removeprefix(start)
        queue = next((name for name in longest if short == name or short.startswith(f"{name}-")), None)
        if queue is not None:
            found.setdefault(queue, []).append(alarm.name)
    return found


ROOM = Room((Screen("/", "Overview", "overview.html", read, menu="Overview", is_live=True),))
