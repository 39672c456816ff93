"""A queue with all that is known of it now, and its problems, the worst first."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from celeriac.consume import quarantine
from celeriac.declare import registry
from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac_console.terminal.plural import counted
from celeriac_console.web.live.alarms import Alarm
from celeriac_console.web.live.counts import Counts
from celeriac_console.web.live.deploys import last
from celeriac_console.web.live.figures import Figures
from celeriac_console.web.live.stage import Now
from celeriac_console.web.shown import span

MORE = 2.0
"""So many times as many failures as before a deploy are worth a word."""
UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Row:
    """A queue as the overview shows it."""

    queue: str
    counts: Counts | None
    """None: it isn't deployed, or can't be read."""
    is_missing: bool
    """Whether it isn't deployed."""
    figures: Figures | None
    """None: CloudWatch has none."""
    consumer: str
    """`on`, `paused`, `none`, `UNKNOWN`, or Lambda's word."""
    alarms: tuple[Alarm, ...]
    oldest_allowed: float
    """Seconds after which a waiting message is old, as the queue's alarm says."""
    deployed_at: datetime | None
    quarantined: tuple[str, ...] = ()
    """Its tasks in quarantine. A kind of failure isn't of one queue."""
    open_breakers: tuple[str, ...] = ()
    """The breakers that keep its tasks waiting."""

    @property
    def since_deploy(self) -> tuple[float, float] | None:
        """Failures a minute before and since the last deploy; None if that isn't known."""
        if self.figures is None or self.deployed_at is None:
            return None
        return self.figures.failed_since(self.deployed_at)

    @property
    def dead(self) -> int:
        """Its dead letters."""
        return self.counts["dead"] if self.counts is not None else 0

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, in a few words each, the worst first."""
        return tuple(self._problems())

    def _problems(self) -> Iterator[str]:
        if self.is_missing:
            yield "not deployed"
            return
        if self.dead:
            yield counted(self.dead, "dead letter")
        if self.consumer == "paused":
            yield "paused"
        elif self.consumer not in {"on", UNKNOWN}:
            yield "no consumer" if self.consumer == "none" else f"consumer {self.consumer}"
        oldest = self.figures.oldest_seconds if self.figures is not None else None
        if oldest is not None and oldest > self.oldest_allowed:
            yield f"a message waits for {span(oldest)}"
        rates = self.since_deploy
        if rates is not None and rates[1] >= 1 and rates[1] > MORE * rates[0]:
            yield "fails more since the deploy"
        if self.quarantined:
            yield f"{counted(len(self.quarantined), 'task')} in quarantine"
        for name in self.open_breakers:
            yield f"breaker {name} is open"
        if self.alarms:
            yield counted(len(self.alarms), "alarm")


def rows(queues: Sequence[Queue], now: Now, stage: str) -> list[Row]:
    """The rows of these queues, those with problems first, and of those the ones with the most dead letters."""
    raised = _by_queue((queue.name for queue in queues), names.start(stage), now.alarms.value)
    quarantined: dict[str, list[str]] = {}
    for name, task in sorted(registry.tasks.items()):
        if quarantine.of_task(name) in now.quarantines.value:
            quarantined.setdefault(task.queue.name, []).append(name)
    made = [
        Row(
            queue.name,
            now.counts.value.get(queue.name),
            queue.name in now.counts.value and now.counts.value[queue.name] is None,
            now.figures.value.queues.get(queue.name),
            now.consumers.value.get(queue.name, UNKNOWN if now.consumers.at is None else "none"),
            tuple(raised.get(queue.name, ())),
            queue.oldest_age.total_seconds(),
            last(now.deploys.value),
            tuple(quarantined.get(queue.name, ())),
            tuple(each.name for each in now.limits.value.open_breakers if queue.name in each.queues),
        )
        for queue in queues
    ]
    return sorted(made, key=lambda row: (not row.problems, -row.dead, row.queue))


def _by_queue(queues: Iterable[str], start: str, alarms: Sequence[Alarm]) -> dict[str, list[Alarm]]:
    """The raised alarms of each queue whose name they begin with. If that is so of two queues, of the longer name."""
    longest = sorted(queues, key=len, reverse=True)
    found: dict[str, list[Alarm]] = {}
    for alarm in alarms:
        short = alarm.name.removeprefix(start)
        queue = next((name for name in longest if short == name or short.startswith(f"{name}-")), None)
        if queue is not None:
            found.setdefault(queue, []).append(alarm)
    return found
