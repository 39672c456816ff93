"""Cancel at each call of a worker: what was said to be cancelled, and didn't run then, never starts."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, Unique, task
from celeriac.leases import tombstones
from celeriac.testing import Call, Sandbox, WorkerDied, every_fault
from tests.support.redrive import redrive_as_aws_does

parades = Queue("parades")
ordered_parades = Queue("ordered-parades", fifo=True)
ran: list[tuple[str, int]] = []
fails: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    fails.clear()


SOON = Backoff(base=timedelta(minutes=1), jitter=0, attempts=3)


def _march(ctx: Context) -> None:
    ran.append((ctx.id, ctx.attempt))
    if fails:
        fails.pop()
        raise ConnectionError("not now")


@task(parades, key="band", retry=SOON)
def march(ctx: Context, band: str, number: int = 0) -> None:
    _march(ctx)


@task(parades, unique=Unique(by="band"), retry=SOON)
def march_alone(ctx: Context, band: str) -> None:
    _march(ctx)


@task(ordered_parades, key="band", retry=SOON)
def march_in_order(ctx: Context, band: str) -> None:
    _march(ctx)


ENQUEUE: dict[str, Callable[[], Any]] = {
    "march": lambda: march.enqueue("a"),
    "march_alone": lambda: march_alone.enqueue("a"),
    "march_in_order": lambda: march_in_order.options(group="g").enqueue("a"),
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize("failures", [0, 1])
@pytest.mark.parametrize("name", ENQUEUE)
def test_cancelled_at_each_call(sandbox: Sandbox, name: str, failures: int, call: int, *, after: bool) -> None:
    handle = ENQUEUE[name]()
    fails.extend(["once"] * failures)
    calls: list[Call] = []
    said: list[tuple[bool, str, int]] = []

    def meanwhile(made: Call) -> Any:
        if said or len(calls) == call:
            return made.make()
        calls.append(made)
        answer = made.make() if after and len(calls) == call else None
        if len(calls) == call:
            calls.append(made)
            before = handle.status().state
            said.append((handle.cancel("why"), before, len(ran)))
        return answer if answer is not None else made.make()

    with sandbox.fault(meanwhile):
        sandbox.drain()
    if not said:
        return  # there is no such call
    was_cancelled, before, started = said[0]
    state = handle.status().state
    if not was_cancelled:
        assert (before, state) == ("succeeded", "succeeded")
    elif before != "running":
        assert len(ran) == started
        assert state == "cancelled"
    else:
        assert len(ran) <= started + 1  # it may have been about to start
        assert state in {"cancelled", "succeeded"}
    assert not sandbox.dead_letters(parades)
    assert not sandbox.dead_letters(ordered_parades)
    if name == "march_alone":
        assert not march_alone.enqueue("a").duplicate


@pytest.mark.parametrize("name", ENQUEUE)
def test_every_fault_of_a_worker_that_meets_a_cancelled_message(name: str) -> None:
    handles: list[Any] = []

    def scenario(sandbox: Sandbox) -> None:
        ran.clear()
        handles[:] = [ENQUEUE[name](), ENQUEUE[name]()] if name != "march_alone" else [ENQUEUE[name]()]
        assert handles[0].cancel("why")

    faults = every_fault(scenario)
    for sandbox in faults:
        assert handles[0].id not in [each for each, _ in ran], faults.story
        assert handles[0].status().state == "cancelled", faults.story
        assert [one.status().state for one in handles[1:]] == ["succeeded"] * len(handles[1:]), faults.story
        assert not sandbox.dead_letters(parades) + sandbox.dead_letters(ordered_parades), faults.story


def test_every_fault_of_the_one_who_cancels() -> None:
    handles: list[Any] = []
    said: list[bool] = []

    def scenario(sandbox: Sandbox) -> None:
        ran.clear()
        said.clear()
        handles[:] = [march.options(delay=timedelta(days=1)).enqueue("a")]
        with suppress(Exception, WorkerDied), sandbox.worker():
            said.append(handles[0].cancel("why"))
        said.append(handles[0].cancel("why"))

    faults = every_fault(scenario)
    for _ in faults:
        assert said[-1], faults.story
        assert ran == [], faults.story
        assert handles[0].status().state == "cancelled", faults.story


def test_a_claim_that_is_undone_keeps_what_was_cancelled_meanwhile(sandbox: Sandbox) -> None:
    """A worker takes a dead one's record over, gets no answer, and takes that back. Meanwhile B is cancelled."""
    sandbox.crash_at(2)
    first = march.enqueue("a", 1)
    other = march.options(delay=timedelta(days=300)).enqueue("a", 2)
    sandbox.run_once()
    sandbox.advance(parades.visibility + timedelta(seconds=1))
    put_back: list[bool] = []

    def cancelled(made: Call) -> Any:
        if made.operation == "UpdateItem" and "in_progress_expiration" in str(made.arguments) and not put_back:
            made.make()
            put_back.append(other.cancel("why"))
            raise TimeoutError("no answer")
        return made.make()

    with sandbox.fault(cancelled):
        sandbox.drain()
    assert put_back == [True]
    assert {each for each, _ in ran} == {first.id}
    assert other.status().state == "cancelled"


def test_a_letter_runs_when_it_is_redriven_though_it_was_cancelled_before(sandbox: Sandbox) -> None:
    """Its letter is sent, and the record can't be written: it doesn't say yet that the message is dead."""
    fails.extend(["always"] * 4)
    handle = march.enqueue("a")

    def away(made: Call) -> Any:
        if made.arguments.get("ExpressionAttributeValues", {}).get(":status") == {"S": "DEAD"}:
            raise TimeoutError("no answer")
        return made.make()

    with sandbox.fault(away):
        sandbox.drain()
    assert len(sandbox.dead_letters(parades)) == 1
    assert handle.cancel("why")
    redrive_as_aws_does(parades)
    sandbox.drain()
    assert len(ran) == 5  # it failed once more, and its next attempt runs too
    assert handle.status().state == "succeeded"


def test_a_redriven_message_is_cancelled_while_it_is_retried(sandbox: Sandbox) -> None:
    fails.extend(["always"] * 4)
    handle = march.enqueue("a")
    sandbox.drain()
    assert handle.status().state == "dead"
    redrive_as_aws_does(parades)
    sandbox.run_once()
    assert handle.status().state == "retrying"
    assert handle.cancel("enough")
    sandbox.drain()
    assert len(ran) == 4
    assert handle.status().state == "cancelled"


def test_the_tombstone_is_what_keeps_it_from_running(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the condition of claims the tests above would see it run."""
    monkeypatch.setattr(tombstones, "allowed", lambda claim: ("", {}))
    monkeypatch.setattr(tombstones, "forbids", lambda record, claim: False)
    handle = march.enqueue("a")
    assert handle.cancel()
    sandbox.drain()
    assert ran == [(handle.id, 1)]
