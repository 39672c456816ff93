"""Everything that screens show of the stage as it is now. Each part is read as often as it changes and costs."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celeriac.consume import quarantine
from celeriac.declare import registry
from celeriac.model.queue import Queue
from celeriac_console.web.live import alarms, consumers, cost, counts, deploys, figures, limits, outbox
from celeriac_console.web.live.cost import Cost
from celeriac_console.web.live.shared_read import SLACK, Read, SharedRead

TICK = timedelta(seconds=5)
"""How often an open tab asks."""
SLOWER = timedelta(seconds=15)
MINUTE = timedelta(minutes=1)
"""CloudWatch has a new figure each minute, and bills each read."""


@dataclass(frozen=True, slots=True)
class Now:
    """All parts, each as it was read last."""

    counts: Read[dict[str, counts.Counts | None]]
    consumers: Read[dict[str, str]]
    alarms: Read[list[alarms.Alarm]]
    figures: Read[figures.LastHour]
    outbox: Read[outbox.Outbox | None]
    quarantines: Read[frozenset[str]]
    limits: Read[limits.Limits]
    deploys: Read[tuple[deploys.Stack, ...]]

    def problems(self) -> dict[str, list[str]]:
        """What can't be seen, by the reason. Raises the reason if nothing at all could be read yet."""
        parts = {what: getattr(self, name) for name, what in PARTS.items()}
        found: dict[str, list[str]] = {}
        for what, part in parts.items():
            if part.error is not None:
                found.setdefault(part.problem, []).append(what)
        # Of an application without limits there is nothing to read.
        asked = [part for part in parts.values() if part is not self.limits or limits.calls()]
        if self.counts.error is not None and all(part.at is None for part in asked):
            raise self.counts.error
        return found


PARTS = {
    "counts": "messages",
    "consumers": "consumers",
    "alarms": "alarms",
    "figures": "figures of the last hour",
    "outbox": "outbox",
    "quarantines": "quarantine",
    "limits": "limits",
    "deploys": "deploys",
}
"""What the parts are called on the page."""


class LiveStage:
    """The parts of the stage. The tasks must be loaded."""

    def __init__(self) -> None:
        # Made here and not at their first use, for which two threads might make two.
        self.counts: SharedRead[dict[str, counts.Counts | None]] = SharedRead(
            lambda: counts.read(self.queues), TICK, {}
        )
        """Messages, by queue."""
        self.consumers: SharedRead[dict[str, str]] = SharedRead(lambda: consumers.read(self.queues), SLOWER, {})
        """States of consumers, by queue."""
        self.alarms: SharedRead[list[alarms.Alarm]] = SharedRead(alarms.read, SLOWER, [])
        """Raised alarms."""
        self.figures = SharedRead(lambda: figures.read(self.queues), MINUTE, figures.LastHour({}, None))
        """The last hour, by queue."""
        self.outbox: SharedRead[outbox.Outbox | None] = SharedRead(outbox.read, SLOWER, None)
        """Lag and parked rows."""
        self.quarantines: SharedRead[frozenset[str]] = SharedRead(quarantine.entries, SLOWER, frozenset())
        """The entries in quarantine."""
        self.limits: SharedRead[limits.Limits] = SharedRead(limits.read, SLOWER, limits.Limits())
        """How limits stand."""
        self.deploys: SharedRead[tuple[deploys.Stack, ...]] = SharedRead(deploys.read, MINUTE, ())
        """The stage's stacks."""

    @property
    def queues(self) -> list[Queue]:
        """The declared queues, in the order of their names."""
        return sorted(registry.queues().values(), key=lambda queue: queue.name)

    def now(self) -> Now:
        """Everything, read at once as far as it is old."""
        with ThreadPoolExecutor(len(PARTS)) as pool:
            read: Any = dict(zip(PARTS, pool.map(lambda name: getattr(self, name).get(), PARTS), strict=True))
        return Now(**read)

    @property
    def cost(self) -> Cost:
        """What an hour of an open, visible overview costs at most. Several tabs cost no more."""
        number = len(self.queues)
        ticks, slower, minutes = (timedelta(hours=1) / (every - SLACK) for every in (TICK, SLOWER, MINUTE))
        alarm_pages = 1
        sqs = ticks * counts.calls(number)
        tables = slower * (outbox.CALLS + 1 + limits.calls())
        mappings = slower * (1 + number // consumers.PAGE)
        asked = figures.metrics(number)
        figure_calls = minutes * -(-asked // figures.PAGE)
        return Cost(
            round(sqs + tables + mappings + slower * alarm_pages + figure_calls + minutes * len(deploys.STACKS)),
            sqs * cost.SQS_CALL
            + tables * cost.DYNAMODB_READ
            + minutes * asked * cost.METRIC
            + slower * alarm_pages * cost.CLOUDWATCH_CALL,
        )
