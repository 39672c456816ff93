"""Quarantine: an operator names tasks or kinds of failure, and their messages become dead letters unrun."""

from datetime import UTC, datetime, timedelta

import pytest

from celeriac import Backoff, Context, Queue, task
from celeriac.consume import quarantine
from celeriac.model.failure import Failure, fingerprint
from celeriac.testing import Sandbox
from tests.support.faults import delayed

jobs = Queue("jobs", batch_size=10)
runs: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()


@task(jobs, retry=Backoff(base=timedelta(minutes=10), jitter=0))
def work(ctx: Context, order: int = 0, error: str = "") -> None:
    runs.append("work")
    if error:
        raise ValueError(f"{error} {order}")


@task(jobs)
def other() -> None:
    runs.append("other")


def test_a_task_in_quarantine_is_dead_lettered_unrun_and_others_run(sandbox: Sandbox) -> None:
    quarantine.add(quarantine.of_task("work"))
    sandbox.advance(timedelta(minutes=1))
    work.enqueue()
    other.enqueue()
    sandbox.drain()

    assert runs == ["other"]
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is not None
    assert letter.failure.reason == "quarantined"


def test_a_task_runs_again_once_its_quarantine_is_lifted(sandbox: Sandbox) -> None:
    quarantine.add(quarantine.of_task("work"))
    quarantine.lift(quarantine.of_task("work"))
    sandbox.advance(timedelta(minutes=1))
    work.enqueue()
    sandbox.drain()
    assert runs == ["work"]


def test_a_kind_of_failure_can_be_quarantined(sandbox: Sandbox) -> None:
    work.enqueue(order=7, error="no such order")
    work.enqueue(order=8, error="no stock for")
    sandbox.run_once()
    kind = fingerprint("work", Failure(reason="failed", type="ValueError", message="no such order 1"))
    quarantine.add(quarantine.of_failure(kind))
    sandbox.advance(timedelta(minutes=15))
    sandbox.run_once()

    (letter,) = sandbox.dead_letters(jobs)
    assert letter.args["order"] == 7
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.attempts) == ("quarantined", 1)
    assert runs == ["work"] * 3


def test_the_quarantine_is_read_at_most_once_a_minute(sandbox: Sandbox) -> None:
    for _ in range(10):
        other.enqueue()
    sandbox.drain()
    assert ("dynamodb", "GetItem") not in sandbox.calls

    sandbox.advance(timedelta(minutes=1))
    for _ in range(10):
        other.enqueue()
    sandbox.drain()
    assert sandbox.calls["dynamodb", "GetItem"] == 1


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("no order 7", "no order 8", True),
        ("no order 'a b'", "no order 'c'", True),
        ("no order 0198c0de-0000-7000-8000-000000000001", "no order 0198c0de-ffff-7000-8000-00000000000a", True),
        ("no order", "no stock", False),
    ],
)
def test_failures_of_one_kind_have_one_fingerprint(one: str, another: str, *, same: bool) -> None:
    first, second = (fingerprint("t", Failure(reason="x", type="E", message=text)) for text in (one, another))
    assert (first == second) is same
    assert first != fingerprint("other", Failure(reason="x", type="E", message=one))


def test_a_cold_worker_runs_nothing_before_it_has_read_the_quarantine(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    wide = Queue("quarantine-wide", concurrency=10, batch_size=10)

    @task(wide)
    def held(number: int) -> None:
        ran.append(number)

    quarantine.add(quarantine.of_task("held"))
    held.enqueue_many({"number": number} for number in range(10))
    monkeypatch.setattr(quarantine, "_read_at", datetime.min.replace(tzinfo=UTC))
    monkeypatch.setattr(quarantine, "_entries", frozenset())
    # The first read is slow: the other lanes start before it ends.
    with delayed("dynamodb", "GetItem"):
        sandbox.drain()
    assert ran == []
    assert len(sandbox.dead_letters(wide)) == 10
