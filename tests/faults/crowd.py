"""The tasks of the random histories: every delivery mode on both kinds of queue, and what they do to the world outside.

What a task does is part of its message, its `plan`, so that a history is a list of plain values.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from celeriac import Backoff, Context, Queue, Reject, Retry, Task, task
from celeriac.model.guarantee import Guarantee
from celeriac.testing import WorkerDied

# One at a time: threads would make a history happen in another way each time it is played.
jobs = Queue("crowd", concurrency=1)
# Enough for a few killers at the head of a group, and few enough to be quiet soon.
ledger = Queue("crowd-ledger", fifo=True, concurrency=1, max_receives=200)
QUEUES = {"jobs": jobs, "ledger": ledger}

# Without jitter, so that a history can be played again. The second waits beyond SQS's 15 minutes, in a schedule.
POLICIES = {
    "quick": Backoff(base=timedelta(minutes=1), jitter=0, attempts=3),
    "slow": Backoff(base=timedelta(minutes=20), jitter=0, attempts=4),
    "impatient": Backoff(base=timedelta(minutes=10), jitter=0, attempts=5, give_up_after=timedelta(minutes=25)),
    "never": Backoff(attempts=1),
}
PLANS = (
    "succeed",
    "fail 1",
    "fail 2",
    "fail for ever",
    "reject",
    "retry soon",
    "retry late",
    "wait",
    "crash once",
    "crash",
    "freeze",
)
# How often what waits isn't ready yet: no attempt is charged for it.
WAITS = 2
EVENT = "crowd.event"
SECRET = "hunter2"
"""Stands in every message, and in the text of errors; no log line and no metric may tell it."""
# Stands for a run without end: no bound that a history allows is as high.
TOO_OFTEN = 300


@dataclass(frozen=True)
class Kind:
    """What a task was declared with."""

    queue: str
    delivery: Guarantee
    policy: str
    commits: bool
    """Whether its effect and its success are one transaction."""
    on: str | None = None
    """The event that calls it."""

    @property
    def name(self) -> str:
        """The task's name, which tells all of it."""
        return f"{self.queue}_{self.delivery}_{self.policy}" + "_commits" * self.commits + "_hears" * bool(self.on)


KINDS = {
    kind.name: kind
    for queue in QUEUES
    for kind in (
        *(Kind(queue, "effectively_once", policy, True) for policy in ("quick", "slow", "impatient")),
        Kind(queue, "effectively_once", "quick", False),
        Kind(queue, "at_least_once", "quick", False),
        Kind(queue, "at_most_once", "never", False),
        Kind(queue, "effectively_once", "quick", True, on=EVENT),
    )
}


@dataclass
class Outside:
    """What the tasks' bodies did."""

    freeze: Callable[[], None]
    """Time passes beyond the worker's lease and its message's visibility, and other workers go on meanwhile."""
    runs: Counter[str] = field(default_factory=Counter)
    """By message id."""
    runs_of_key: Counter[str] = field(default_factory=Counter)
    begun: dict[str, int] = field(default_factory=dict)
    """By message id, when its body was first called: how many calls there had been."""
    done: dict[str, int] = field(default_factory=dict)
    """By message id, when its body first came to its end, by the same count."""
    struck: set[str] = field(default_factory=set)
    """Ids of the messages that have crashed or frozen their worker, which `once` do it."""
    wrong: list[str] = field(default_factory=list)

    def begin(self, ctx: Context, kind: Kind) -> None:
        """Note a run."""
        self.begun.setdefault(ctx.id, self.runs.total())
        self.runs[ctx.id] += 1
        self.runs_of_key[ctx.key] += 1
        if ctx.attempt > POLICIES[kind.policy].attempts:
            self.wrong.append(f"{ctx.key} made attempt {ctx.attempt}")
        if self.runs[ctx.id] == TOO_OFTEN:
            self.wrong.append(f"{ctx.key} runs without end")

    def follow(self, plan: str, ctx: Context) -> None:
        """Do what the plan says, where it isn't the task's success."""
        if self.runs[ctx.id] >= TOO_OFTEN:
            return
        match plan.split():
            case ["fail", "for", "ever"]:
                raise ConnectionError(SECRET)
            case ["fail", times] if ctx.attempt <= int(times):
                raise ConnectionError(SECRET)
            case ["retry", when] if ctx.attempt == 1:
                raise Retry(plan, delay=timedelta(hours=2) if when == "late" else timedelta(seconds=30))
            case ["wait"] if self.runs[ctx.id] <= WAITS:
                raise Retry(plan, delay=timedelta(minutes=20), charge=False)
            case ["reject"]:
                raise Reject(SECRET)
            case ["crash"]:
                raise WorkerDied
            case ["crash", "once"] if ctx.id not in self.struck:
                self.struck.add(ctx.id)
                raise WorkerDied
            case ["freeze"] if ctx.id not in self.struck:
                self.struck.add(ctx.id)
                self.freeze()


def declare(outside: Outside) -> dict[str, Task[..., Any, Any]]:
    """Declare every kind, by its name; within a sandbox, at whose end they are forgotten."""
    return {name: _declare(kind, outside) for name, kind in KINDS.items()}


def _declare(kind: Kind, outside: Outside) -> Task[..., Any, Any]:
    policy = POLICIES[kind.policy]

    @task(QUEUES[kind.queue], name=kind.name, key="name", delivery=kind.delivery, retry=policy, on=kind.on)
    def run(ctx: Context, name: str, plan: str, secret: str) -> None:
        outside.begin(ctx, kind)
        outside.follow(plan, ctx)
        if kind.commits:
            with ctx.transaction() as tx:
                tx.update("orders", key={"pk": ctx.key}, add={"times": 1})
        outside.done.setdefault(ctx.id, outside.runs.total())

    return run
