"""The tasks of the random histories: every guarantee on both kinds of queue, and the effects of the tasks.

A task's `plan` is part of its message and says what the task does. So a history is a list of plain values.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from celeriac import Backoff, Context, Queue, Reject, Retry, Task, task
from celeriac.model.guarantee import Guarantee
from celeriac.testing import WorkerDied

# One at a time: with threads, each replay of a history would run differently.
jobs = Queue("crowd", concurrency=1, batch_size=10, history=True)
# Enough for a few crashing tasks at the head of a group, and few enough to end soon.
ledger = Queue("crowd-ledger", fifo=True, concurrency=1, max_receives=200, batch_size=10, history=True)
QUEUES = {"jobs": jobs, "ledger": ledger}

# Without jitter, so that a history can be replayed. "slow" waits longer than SQS's 15 minutes, in a schedule.
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
# The number of runs that find a task not ready. They are not charged.
WAITS = 2
EVENT = "crowd.event"
SECRET = "hunter2"
"""In every message, and in the text of errors. No log line and no metric may contain it."""
# A run count that means "without end": every limit in a history is lower.
TOO_OFTEN = 300


@dataclass(frozen=True)
class Kind:
    """The declaration of a task."""

    queue: str
    delivery: Guarantee
    policy: str
    commits: bool
    """The task's effect and its success are one transaction."""
    on: str | None = None
    """The event type that the task is subscribed to."""

    @property
    def name(self) -> str:
        """The task's name, made from all fields."""
        return f"{self.queue}_{self.delivery}_{self.policy}" + "_commits" * self.commits + "_subscribes" * bool(self.on)


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
    """What the bodies of the tasks did."""

    freeze: Callable[[], None]
    """Let the worker's lease and the message's visibility pass, while other workers continue."""
    runs: Counter[str] = field(default_factory=Counter)
    """The number of runs, by message id."""
    runs_of_key: Counter[str] = field(default_factory=Counter)
    begun: dict[str, int] = field(default_factory=dict)
    """By message id: how many bodies had been called, in all, when its body was first called."""
    done: dict[str, int] = field(default_factory=dict)
    """By message id: how many bodies had been called, in all, when its body first ended."""
    struck: set[str] = field(default_factory=set)
    """Ids of the messages that have crashed or frozen their worker, if their plan does it once."""
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
        """Do what the plan says, except the task's success."""
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
    """Declare every kind, by its name, within a sandbox. The declarations end with the sandbox."""
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
