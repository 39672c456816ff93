"""Cancel what runs: an async task is interrupted, a sync one sees it, within ten seconds, and neither is charged."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Backoff, Cancelled, Context, Queue, task
from celeriac.execute import threads
from celeriac.leases import watch
from celeriac.testing import Call, Sandbox, every_fault

TIMEOUT = timedelta(minutes=10)
SECOND = timedelta(seconds=1)
ferries = Queue("ferries", timeout=TIMEOUT)
ordered_ferries = Queue("ordered-ferries", timeout=TIMEOUT, fifo=True)
wide_ferries = Queue("wide-ferries", timeout=TIMEOUT, concurrency=3)
SOON = Backoff(base=SECOND, jitter=0, attempts=3)
_sandbox: list[Sandbox] = []
# What happens at a second of a run.
at: dict[int, Callable[[], object]] = {}
story: list[str] = []


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> None:
    if "sandbox" in request.fixturenames:
        begin(request.getfixturevalue("sandbox"))


def begin(sandbox: Sandbox) -> None:
    _sandbox[:] = [sandbox]
    at.clear()
    story.clear()


def _second(number: int) -> None:
    if number in at:
        at[number]()
    _sandbox[0].advance(SECOND)


@task(ferries, retry=SOON)
async def sail(ctx: Context, seconds: int = 60) -> str:
    story.append(f"begins {ctx.attempt}")
    try:
        for number in range(seconds):
            _second(number)
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        story.append(f"stopped after {number}")
        raise
    story.append("ends")
    return "there"


@task(ferries, retry=SOON)
async def sail_on(ctx: Context) -> str:
    """It won't be stopped."""
    try:
        for number in range(60):
            _second(number)
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        story.append("goes on")
    return "there"


@task(ferries, retry=SOON)
def row(ctx: Context, what: str = "Cancelled", seconds: int = 60) -> str:
    story.append(f"begins {ctx.attempt}")
    for number in range(seconds):
        _second(number)
        if ctx.cancelled:
            story.append(f"sees it after {number}")
            if what == "Cancelled":
                raise Cancelled
            if what == "error":
                raise ConnectionError("the boat has turned")
            break
    return "there"


@task(ferries, retry=SOON)
def row_on(ctx: Context) -> None:
    """It has no end."""
    number = ctx.cursor or 0
    while True:
        _second(number)
        number += 1
        ctx.checkpoint(number)


@task(ordered_ferries, retry=SOON)
def row_in_order(ctx: Context, name: str) -> None:
    story.append(name)
    for number in range(30):
        _second(number if name == "first" else -1)
        if ctx.cancelled:
            raise Cancelled


@task(ferries, retry=SOON)
def give_in(ctx: Context) -> None:
    story.append("begins")
    raise Cancelled("nothing to do")


def test_an_async_task_is_interrupted(sandbox: Sandbox) -> None:
    handle = sail.enqueue()
    at[20] = lambda: story.append(str(handle.cancel("a storm", by="harbour")))
    at[21] = lambda: story.append(handle.status().state)
    sandbox.drain()
    assert story[:3] == ["begins 1", "True", "running"]
    (stopped,) = story[3:]
    assert 20 <= int(stopped.removeprefix("stopped after ")) <= 30
    status = handle.status()
    assert status.state == "cancelled"
    assert status.failure is not None
    assert status.failure.message == "harbour cancelled it: a storm"
    assert status.cancellation is not None
    assert status.cancellation.why == "a storm"
    assert sandbox.dead_letters(ferries) == []


def test_while_it_is_asked_to_stop_it_runs(sandbox: Sandbox) -> None:
    handle = sail_on.enqueue()
    seen: list[Any] = []
    at[0] = lambda: handle.cancel("a storm", by="harbour")
    at[1] = lambda: seen.append(handle.status())
    sandbox.drain()
    assert [one.state for one in seen] == ["running"]
    assert seen[0].cancellation.by == "harbour"
    assert story == ["goes on"]
    assert handle.result() == "there"  # a normal end is a success


@pytest.mark.parametrize("second", [0, 5, 12, 40])
@pytest.mark.parametrize("what", ["Cancelled", "error", "end"])
def test_a_sync_task_sees_it(sandbox: Sandbox, what: str, second: int) -> None:
    handle = row.enqueue(what)
    at[second] = lambda: handle.cancel("a storm")
    sandbox.drain()
    assert story[0] == "begins 1"
    (seen,) = story[1:]
    assert second <= int(seen.removeprefix("sees it after ")) <= second + 10
    assert handle.status().state == ("succeeded" if what == "end" else "cancelled")
    assert sandbox.dead_letters(ferries) == []


def test_an_endless_loop_is_stopped_at_its_next_checkpoint(sandbox: Sandbox) -> None:
    handle = row_on.enqueue()
    at[5] = lambda: handle.cancel("a storm")
    at[8] = lambda: story.append("too late")
    sandbox.drain()
    assert story == []
    assert handle.status().state == "cancelled"


def test_a_later_part_of_an_endless_loop_is_stopped(sandbox: Sandbox) -> None:
    handle = row_on.enqueue()
    at[1500] = lambda: handle.cancel("a storm")
    at[1503] = lambda: story.append("too late")
    sandbox.drain()
    assert story == []
    assert handle.status().state == "cancelled"


def test_a_task_may_cancel_itself(sandbox: Sandbox) -> None:
    handle = give_in.enqueue()
    sandbox.drain()
    assert story == ["begins"]
    status = handle.status()
    assert status.state == "cancelled"
    assert status.failure is not None
    assert status.failure.message == "it cancelled itself: nothing to do"
    assert sandbox.dead_letters(ferries) == []


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
def test_a_task_of_another_guarantee_may_cancel_itself(sandbox: Sandbox, delivery: Any) -> None:
    @task(ferries, delivery=delivery)
    def give_in_too(ctx: Context) -> None:
        story.append(str(ctx.cancelled))
        raise Cancelled

    give_in_too.enqueue()
    sandbox.drain()
    assert story == ["False"]
    assert sandbox.dead_letters(ferries) == []


def test_it_is_not_tried_again_if_it_fails_before_it_sees_it(sandbox: Sandbox) -> None:
    @task(ferries, retry=SOON)
    def sink(ctx: Context) -> None:
        story.append("begins")
        handle.cancel("a storm")
        raise ConnectionError

    handle = sink.enqueue()
    sandbox.drain()
    assert story == ["begins"]
    assert handle.status().state == "cancelled"


def test_never_after_its_effects_are_committed(sandbox: Sandbox) -> None:
    @task(ferries, retry=SOON)
    def land(ctx: Context) -> None:
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": "landed"})
        story.append(str(handle.cancel("a storm")))
        raise Cancelled

    handle = land.enqueue()
    sandbox.drain()
    assert story == ["False"]
    assert handle.status().state == "succeeded"


def test_a_cancelled_task_may_still_commit_and_has_succeeded_then(sandbox: Sandbox) -> None:
    @task(ferries, retry=SOON)
    def land_late(ctx: Context) -> None:
        story.append(str(handle.cancel("a storm")))
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": "landed"})
        raise Cancelled

    handle = land_late.enqueue()
    sandbox.drain()
    assert story == ["True"]
    assert handle.status().state == "succeeded"


def test_its_group_goes_on_behind_it(sandbox: Sandbox) -> None:
    first, second = (row_in_order.options(group="g").enqueue(name) for name in ("first", "second"))
    at[3] = lambda: first.cancel("a storm")
    sandbox.drain()
    assert story == ["first", "second"]
    assert [first.status().state, second.status().state] == ["cancelled", "succeeded"]


def test_what_is_over_soon_costs_no_look(sandbox: Sandbox) -> None:
    for name in (sail, row):
        name.enqueue(seconds=8)
    sandbox.drain()
    assert sandbox.calls["dynamodb", "GetItem"] + sandbox.calls["dynamodb", "BatchGetItem"] == 0


@pytest.mark.parametrize("name", ["sail", "row"])
def test_one_read_each_nine_seconds(sandbox: Sandbox, name: str) -> None:
    if name == "sail":
        sail.enqueue(seconds=61)
    else:
        row.enqueue(seconds=61)
    sandbox.drain()
    assert sandbox.calls["dynamodb", "GetItem"] == 6


def test_a_sync_task_that_does_not_look_costs_no_read(sandbox: Sandbox) -> None:
    @task(ferries)
    def drift() -> None:
        for _ in range(60):
            sandbox.advance(SECOND)

    drift.enqueue()
    sandbox.drain()
    assert sandbox.calls["dynamodb", "GetItem"] + sandbox.calls["dynamodb", "BatchGetItem"] == 0


def test_several_tasks_of_a_worker_are_looked_at_together(sandbox: Sandbox) -> None:
    ready: list[int] = []

    @task(wide_ferries, retry=SOON)
    async def drift_together(number: int) -> None:
        ready.append(number)
        while len(ready) < 3:  # noqa: ASYNC110 - each lane is a run of its own
            await asyncio.sleep(0.01)
        if number == 0:
            handles[1].cancel("a storm")
            sandbox.advance(10 * SECOND)
        for _ in range(50):
            await asyncio.sleep(0.01)
        story.append(str(number))

    handles = [drift_together.enqueue(number) for number in range(3)]
    sandbox.drain()
    assert sorted(story) == ["0", "2"]
    assert [one.status().state for one in handles] == ["succeeded", "cancelled", "succeeded"]
    assert sandbox.calls["dynamodb", "BatchGetItem"] == 1


def test_a_look_that_aws_refuses_is_made_again(sandbox: Sandbox) -> None:
    handle = sail.enqueue()
    at[0] = lambda: handle.cancel("a storm")
    refused: list[str] = []

    def refuse(call: Call) -> Any:
        if call.operation == "GetItem" and not refused:
            refused.append("")
            raise TimeoutError("no answer")
        return call.make()

    with sandbox.fault(refuse):
        sandbox.drain()
    assert refused
    assert story == ["begins 1", "stopped after 17"]
    assert handle.status().state == "cancelled"


@pytest.mark.parametrize("name", ["sail", "row", "row_on"])
def test_every_fault_of_a_worker_that_stops(name: str) -> None:
    tasks: dict[str, Any] = {"sail": sail, "row": row, "row_on": row_on}
    handles: list[Any] = []

    def scenario(sandbox: Sandbox) -> None:
        begin(sandbox)
        handles[:] = [tasks[name].enqueue()]
        at[3] = lambda: celeriac_cancel(sandbox, handles[0])

    faults = every_fault(scenario)
    for sandbox in faults:
        assert handles[0].status().state == "cancelled", faults.story
        assert not sandbox.dead_letters(ferries), faults.story


def celeriac_cancel(sandbox: Sandbox, handle: celeriac.Handle[Any]) -> None:
    """Somebody else cancels the task, who isn't struck by the faults of the worker."""
    with sandbox._calls.unobserved():
        handle.cancel("a storm")


def test_one_that_only_waits_is_interrupted(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the worker's own thread, in real time."""
    monkeypatch.setattr(watch, "EVERY", timedelta())
    monkeypatch.setattr(threads, "MOST_SECONDS_TO_A_LOOK", 0.01)

    @task(ferries, retry=SOON)
    async def wait_for_wind(ctx: Context) -> None:
        handle.cancel("a storm")
        await asyncio.sleep(30)
        story.append("wind")

    handle = wait_for_wind.enqueue()
    sandbox.drain()
    assert story == []
    assert handle.status().state == "cancelled"


def test_the_watch_is_what_stops_an_async_task(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch.Watch, "look", lambda _: None)
    handle = sail.enqueue()
    at[3] = lambda: handle.cancel("a storm")
    sandbox.drain()
    assert story == ["begins 1", "ends"]
