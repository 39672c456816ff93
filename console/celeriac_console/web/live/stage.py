"""Everything that screens show of the stage as it is now. Each part is read as often as it changes and costs."""

from datetime import timedelta
from functools import cached_property

from celeriac.consume import quarantine
from celeriac.declare import registry
from celeriac.model.queue import Queue
from celeriac_console.web.live import alarms, consumers, cost, counts, figures, outbox
from celeriac_console.web.live.cost import Cost
from celeriac_console.web.live.shared_read import SharedRead

TICK = timedelta(seconds=5)
"""How often an open tab asks."""
SLOWER = timedelta(seconds=15)
MINUTE = timedelta(minutes=1)
"""CloudWatch has a new figure each minute, and bills each read."""


class LiveStage:
    """The parts of the stage. The tasks must be loaded."""

    @cached_property
    def queues(self) -> list[Queue]:
        """The declared queues, in the order of their names."""
        return sorted(registry.queues().values(), key=lambda queue: queue.name)

    @cached_property
    def counts(self) -> SharedRead[dict[str, counts.Counts | None]]:
        """Messages, by queue."""
        return SharedRead(lambda: counts.read(self.queues), TICK)

    @cached_property
    def consumers(self) -> SharedRead[dict[str, str]]:
        """States of consumers, by queue."""
        return SharedRead(lambda: consumers.read(self.queues), SLOWER)

    @cached_property
    def alarms(self) -> SharedRead[list[alarms.Alarm]]:
        """Raised alarms."""
        return SharedRead(alarms.read, SLOWER)

    @cached_property
    def figures(self) -> SharedRead[dict[str, figures.Figures]]:
        """The last hour, by queue."""
        return SharedRead(lambda: figures.read(self.queues), MINUTE)

    @cached_property
    def outbox(self) -> SharedRead[outbox.Outbox]:
        """Lag and parked rows."""
        return SharedRead(outbox.read, SLOWER)

    @cached_property
    def quarantines(self) -> SharedRead[frozenset[str]]:
        """The entries in quarantine."""
        return SharedRead(quarantine.entries, SLOWER)

    @property
    def cost(self) -> Cost:
        """What an hour of an open, visible tab costs. Several tabs cost no more."""
        number = len(self.queues)
        each = {name: timedelta(hours=1) / every for name, every in (("t", TICK), ("s", SLOWER), ("m", MINUTE))}
        pages = 1 + number // 100
        sqs = each["t"] * counts.calls(number)
        tables = each["s"] * (outbox.CALLS + 1)
        metrics = each["m"] * figures.metrics(number)
        others = each["s"] * 2 * pages
        return Cost(
            round(sqs + tables + others + each["m"] * (1 + figures.metrics(number) // figures.PAGE)),
            sqs * cost.SQS_CALL
            + tables * cost.DYNAMODB_READ
            + metrics * cost.METRIC
            + each["s"] * pages * cost.CLOUDWATCH_CALL,
        )
