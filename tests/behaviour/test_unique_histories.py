"""`Unique` in random histories: late, doubled and reordered deliveries, deaths, slow producers, redrives.

In each: nobody is told in vain that his work is done by another message, nothing unique runs twice at once, no message
that has ended holds its item, and the drain ends.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Backoff, Queue, Unique, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.declare.task import Task
from celeriac.flow import rows, unique
from celeriac.testing import Sandbox, die
from celeriac.testing.calls import WorkerDied

jobs = Queue("jobs", timeout=timedelta(minutes=1), concurrency=1)  # more would run in another order each time
SOON = Backoff(base=timedelta(seconds=30), jitter=0, attempts=3)
SEEDS = range(10)


class Died(BaseException):
    """A producer stops between its send and its take."""


class History:
    """What happened in one history, in order."""

    def __init__(self, seed: int, kind: Task[..., Any, Any], sandbox: Sandbox) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.kind, self.sandbox = kind, sandbox
        self.now = 0
        self.running: set[str] = set()
        self.starts: defaultdict[str, list[int]] = defaultdict(list)
        self.ends: defaultdict[str, list[int]] = defaultdict(list)
        self.told: list[tuple[str, str, bool, int]] = []
        self.late: list[Callable[[], object]] = []
        self.depth = 0

    def outside(self) -> None:
        """No worker runs here. One that died within another one may have left the sandbox's note of that."""
        self.sandbox._calls.in_worker = False

    def tick(self) -> int:
        self.now += 1
        return self.now

    def run(self, tenant: str, number: int) -> None:
        if self.kind.unique is not None and self.kind.unique.until == "finished":
            assert tenant not in self.running or self.kind.guarantee == "at_least_once", "two at once"
        self.running.add(tenant)
        self.starts[tenant].append(self.tick())
        try:
            for _ in range(self.chance.randrange(3)):
                self.act(inside=True)
            what = self.chance.random()
            if what < 0.06:
                die()
            if what < 0.3:
                raise ValueError(number)
        finally:
            self.running.discard(tenant)
            self.ends[tenant].append(self.tick())

    def act(self, *, inside: bool = False) -> None:
        actions: list[tuple[int, Callable[[], object]]] = [
            (8, self.enqueue),
            (2, self.enqueue_many),
            (2, self.foreign),
            (4, self.run_once),
            (3, self.pass_time),
            (2 if self.late else 0, self.take_late),
            (0 if inside else 3, self.crash),
            (0 if inside else 2, self.redrive),
        ]
        action = self.chance.choices([one for _, one in actions], [weight for weight, _ in actions])[0]
        action()

    def enqueue(self) -> None:
        tenant, begun = self.chance.choice("ab"), self.tick()
        delay = self.chance.choice([0, 0, 0, 20, 1200])
        with suppress(WorkerDied, Died), self.producer():
            handle = self.kind.options(delay=timedelta(seconds=delay)).enqueue(tenant=tenant, number=begun)
            self.told.append((tenant, handle.id, handle.duplicate, begun))

    def enqueue_many(self) -> None:
        tenants, begun = self.chance.choices("ab", k=3), self.tick()
        with suppress(WorkerDied, Died), self.producer():
            handles = self.kind.enqueue_many({"tenant": tenant, "number": begun} for tenant in tenants)
            self.told += [(a, handle.id, handle.duplicate, begun) for a, handle in zip(tenants, handles, strict=True)]

    def producer(self) -> Any:
        skew = self.chance.choice([timedelta(), timedelta(), timedelta(hours=3), timedelta(hours=-3)])
        if self.kind.unique is not None and isinstance(self.kind.unique.until, timedelta):
            skew = timedelta()  # a wrong clock moves a time that is given by as much
        return self.sandbox.producer(clock=skew)

    def foreign(self) -> None:
        """What the outbox, an older release or another language sends: nobody takes its item."""
        tenant, begun = self.chance.choice("ab"), self.tick()
        self.sandbox.send(jobs, {"task": self.kind.name, "args": {"tenant": tenant, "number": begun}})
        self.told.append((tenant, "", False, begun))

    def run_once(self) -> None:
        if self.depth < 3:
            self.depth += 1
            try:
                self.sandbox.run_once()
            finally:
                self.depth -= 1

    def pass_time(self) -> None:
        if not self.running:
            self.sandbox.advance(timedelta(seconds=self.chance.choice([1, 10, 40, 90, 1300, 8000])))
        else:
            self.sandbox.advance(timedelta(seconds=1))

    def take_late(self) -> None:
        with suppress(WorkerDied):
            self.late.pop(self.chance.randrange(len(self.late)))()

    def crash(self) -> None:
        self.sandbox.crash_at(self.chance.randrange(1, 12), after=self.chance.random() < 0.5)

    def redrive(self) -> None:
        dead = sqs.url(jobs.dead_letter_name("test"))
        for letter in client("sqs").receive_message(QueueUrl=dead).get("Messages", []):
            client("sqs").delete_message(QueueUrl=dead, ReceiptHandle=letter["ReceiptHandle"])
            for _ in range(self.chance.choice([1, 1, 2])):
                self.sandbox.send(jobs, letter["Body"])

    def take_sent(self, *args: Any, **named: Any) -> Any:
        what = self.chance.random()
        if what < 0.15:
            raise Died
        if what < 0.3:
            self.late.append(lambda: REAL(*args, **named))
            raise Died
        if what < 0.4:
            self.run_once()
        return REAL(*args, **named)

    def free(self, mine: unique.Mine) -> bool:
        """A task that is done ends when its item is free: until then others are told that it runs."""
        is_held = FREE(mine)
        for tenant in "ab":
            if is_held and mine.item == self.item(tenant):
                self.ends[tenant].append(self.tick())
        return is_held

    def item(self, tenant: str) -> str:
        return rows.of_unique(jobs.name, self.kind.name, self.kind.text_of(["tenant"], {"tenant": tenant}))

    def check(self) -> None:
        letters = {letter.id for letter in self.sandbox.dead_letters(jobs)}
        is_timed = self.kind.unique is not None and isinstance(self.kind.unique.until, timedelta)
        is_finished = self.kind.unique is not None and self.kind.unique.until == "finished"
        tenants_dead = {letter.args["tenant"] for letter in self.sandbox.dead_letters(jobs) if letter.args}
        for tenant, told_id, duplicate, begun in self.told:
            if is_timed and (duplicate or not told_id):
                continue
            # Whoever sends without asking may be dropped for one that runs already, as if he had been told so.
            is_of_running = is_finished and (duplicate or not told_id)
            done = self.ends[tenant] if is_of_running else self.starts[tenant]
            assert any(at >= begun for at in done) or told_id in letters or tenant in tenants_dead, "told in vain"
        if not is_timed:
            for tenant in "ab":
                assert unique.holder_of(rows.read(self.item(tenant))) is None, "a message that has ended holds its item"


REAL, FREE = unique.take_sent, unique.free
history: History


def _run(tenant: str, number: int) -> None:
    history.run(tenant, number)


@task(jobs, unique=Unique(by="tenant"), retry=SOON)
def finished(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(jobs, unique=Unique(by="tenant"), retry=SOON, delivery="at_least_once")
def loose(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(jobs, unique=Unique(by="tenant"), delivery="at_most_once")
def once(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(jobs, unique=Unique(by="tenant", until="started"), retry=SOON)
def started(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(jobs, unique=Unique(by="tenant", until="started", on_conflict="replace"), retry=SOON)
def replaced(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(jobs, unique=Unique(by="tenant", until=timedelta(minutes=5)), retry=SOON)
def timed(tenant: str, number: int) -> None:
    _run(tenant, number)


@pytest.mark.parametrize("kind", [finished, loose, once, started, replaced, timed], ids=lambda kind: kind.name)
def test_whatever_happens(kind: Task[..., Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in SEEDS:
        tell(seed, kind, monkeypatch)


def tell(seed: int, kind: Task[..., Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    global history  # noqa: PLW0603 - the tasks are those of one history
    random.seed(seed)  # of all jitter
    with Sandbox() as sandbox:
        history = History(seed, kind, sandbox)
        monkeypatch.setattr(unique, "take_sent", history.take_sent)
        monkeypatch.setattr(unique, "free", history.free)
        sandbox.deliver(duplicates=history.chance.choice([0, 0.3]), reorders=True, seed=seed)
        try:
            for _ in range(history.chance.randrange(5, 25)):
                history.act()
                history.outside()
            history.chance = Calm(seed)
            sandbox.fault_at(1, lambda call: call.make())  # no crash is left
            sandbox.drain()
            history.outside()
            while history.late:
                history.take_late()
            sandbox.drain()
            history.outside()
            history.check()
        except BaseException as error:
            error.add_note(f"{kind.name}, seed {seed}")
            raise


class Calm(random.Random):
    """From here on nothing goes wrong, so that all ends."""

    def random(self) -> float:
        return 0.9

    def randrange(self, *_: Any) -> int:
        return 0
