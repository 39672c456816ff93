"""`Unique` with a fault at each AWS call of producers and workers: deaths, lost answers, throttles."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Backoff, Queue, Unique, task
from celeriac.declare.task import Task
from celeriac.flow import rows, unique
from celeriac.testing import Sandbox, every_fault
from celeriac.testing.calls import WorkerDied

struck = Queue("struck", timeout=timedelta(minutes=1))
SOON = Backoff(base=timedelta(seconds=30), jitter=0, attempts=4)

events: list[tuple[str, str, int]] = []
told: list[tuple[bool, int]] = []
meanwhile: list[Callable[[], object]] = []


def _run(tenant: str, number: int) -> None:
    events.append(("start", tenant, number))
    if meanwhile:
        meanwhile.pop()()
    if number == 2 and events.count(("start", tenant, number)) == 1:
        events.append(("end", tenant, number))
        raise ValueError(number)
    events.append(("end", tenant, number))


@task(struck, unique=Unique(by="tenant"), retry=SOON)
def whole(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(struck, unique=Unique(by="tenant"), retry=SOON, delivery="at_least_once")
def again(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(struck, unique=Unique(by="tenant", until="started"), retry=SOON)
def begin(tenant: str, number: int) -> None:
    _run(tenant, number)


@task(struck, unique=Unique(by="tenant", until="started", on_conflict="replace"), retry=SOON)
def last(tenant: str, number: int) -> None:
    _run(tenant, number)


def enqueue(sandbox: Sandbox, kind: Task[..., Any, Any], number: int) -> None:
    """As a producer that may die or meet an error. It is told something, or hears nothing."""
    before = len(events)
    with suppress(WorkerDied, Exception), sandbox.worker():
        handle = kind.enqueue(tenant="a", number=number)
        told.append((handle.duplicate, before))


@pytest.mark.parametrize("kind", [whole, again, begin, last], ids=lambda kind: kind.name)
def test_at_each_call_a_fault_leaves_nobody_waiting_in_vain(kind: Task[..., Any, Any]) -> None:
    def scenario(sandbox: Sandbox) -> None:
        events.clear()
        told.clear()
        meanwhile[:] = [lambda: enqueue(sandbox, kind, 4)]
        enqueue(sandbox, kind, 1)
        enqueue(sandbox, kind, 2)
        sandbox.run_once()
        enqueue(sandbox, kind, 2)
        enqueue(sandbox, kind, 3)

    runs = every_fault(scenario)
    for sandbox in runs:
        until_finished = kind.unique is not None and kind.unique.until == "finished"
        for duplicate, before in told:
            wanted = {"start", "end"} if duplicate and until_finished else {"start"}
            assert any(what in wanted for what, *_ in events[before:]), runs.story
        open_now = 0
        for what, *_ in events:
            open_now = open_now + 1 if what == "start" else 0
            assert open_now <= 1 or kind is not whole, runs.story
        assert sandbox.dead_letters(struck) == [], runs.story
        item = rows.read(rows.of_unique("struck", kind.name, kind.text_of(["tenant"], {"tenant": "a"})))
        assert unique.holder_of(item) is None, runs.story
