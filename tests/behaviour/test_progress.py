"""Progress: a task says how far it is, and everybody can see it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Backoff, Cancelled, Context, Queue, task
from celeriac.testing import Call, Sandbox
from tests.support.faults import out_of_reach

SECOND = timedelta(seconds=1)
canals = Queue("canals", timeout=timedelta(minutes=10))
_sandbox: list[Sandbox] = []
at: dict[int, Callable[[], object]] = {}


@pytest.fixture(autouse=True)
def _empty(sandbox: Sandbox) -> None:
    _sandbox[:] = [sandbox]
    at.clear()


def _metre(number: int) -> None:
    if number in at:
        at[number]()
    _sandbox[0].advance(SECOND)


@task(canals, key="name", retry=Backoff(base=SECOND, jitter=0, attempts=2))
def dig(ctx: Context, name: str, metres: int = 20) -> None:
    for number in range(metres):
        _metre(number)
        ctx.progress(number + 1, metres, "metres")


@task(canals)
async def dig_async(ctx: Context) -> None:
    for number in range(20):
        _metre(number)
        await ctx.aprogress(number + 1, 20, "metres")
        await asyncio.sleep(0)


@task(canals)
def dig_on(ctx: Context) -> None:
    for number in range(20):
        _metre(number)
        ctx.progress(number + 1)
        ctx.checkpoint(number + 1)


def test_it_is_seen_while_the_task_runs_and_afterwards(sandbox: Sandbox) -> None:
    handle = dig.enqueue("a")
    seen: list[Any] = []
    at[15] = lambda: seen.append(handle.status())
    assert handle.status().progress is None
    sandbox.drain()
    (status,) = seen
    assert status.state == "running"
    assert 13 <= status.progress.done <= 15
    assert (status.progress.total, status.progress.unit) == (20, "metres")
    after = handle.status()
    assert after.state == "succeeded"
    assert str(after.progress) == "20 of 20 metres (100%)"


@pytest.mark.parametrize("name", ["dig", "dig_async"])
def test_it_is_written_every_two_seconds_at_most(sandbox: Sandbox, name: str) -> None:
    if name == "dig":
        dig.enqueue("a")
    else:
        dig_async.enqueue()
    sandbox.drain()
    assert sandbox.calls["dynamodb", "UpdateItem"] == 10 + 1


def test_a_short_task_writes_it_with_its_end(sandbox: Sandbox) -> None:
    handle = dig.enqueue("a", metres=1)
    sandbox.drain()
    assert sandbox.calls["dynamodb", "UpdateItem"] == 1
    assert str(handle.status().progress) == "1 of 1 metres (100%)"


def test_it_goes_with_checkpoints(sandbox: Sandbox) -> None:
    handle = dig_on.enqueue()
    seen: list[Any] = []
    at[10] = lambda: seen.append(handle.status().progress)
    sandbox.drain()
    assert sandbox.calls["dynamodb", "UpdateItem"] == 20 + 1
    assert str(seen[0]) == "10"


def test_it_goes_with_a_transaction(sandbox: Sandbox) -> None:
    @task(canals)
    def dig_at_once(ctx: Context) -> None:
        ctx.progress(1, 2)
        with ctx.transaction() as tx:
            tx.put("orders", {"pk": "canal"})

    handle = dig_at_once.enqueue()
    sandbox.drain()
    assert sandbox.calls["dynamodb", "UpdateItem"] == 0
    assert str(handle.status().progress) == "1 of 2 (50%)"


def test_a_failed_attempt_keeps_it(sandbox: Sandbox) -> None:
    handle = dig.enqueue("a")

    def fail() -> None:
        raise ConnectionError

    at[7] = fail
    sandbox.run_once()
    assert handle.status().state == "retrying"
    assert str(handle.status().progress) == "7 of 20 metres (35%)"


def test_another_message_of_the_key_does_not_show_it(sandbox: Sandbox) -> None:
    first = dig.enqueue("a")

    def fail() -> None:
        raise ConnectionError

    at[7] = fail
    sandbox.drain()
    assert first.status().state == "dead"
    second = dig.enqueue("a", 5)
    seen: list[Any] = []
    at[0] = lambda: seen.append(second.status())
    sandbox.drain()
    assert [(one.state, one.progress) for one in seen] == [("running", None)]


def test_a_cancelled_task_ends_at_its_next_report(sandbox: Sandbox) -> None:
    handle = dig.enqueue("a")
    at[5] = lambda: handle.cancel("why")
    at[9] = lambda: pytest.fail("it goes on")
    sandbox.drain()
    status = handle.status()
    assert status.state == "cancelled"
    assert status.progress is not None


def test_while_dynamodb_is_away_the_work_goes_on(sandbox: Sandbox) -> None:
    handle = dig.enqueue("a")
    with out_of_reach("dynamodb", "UpdateItem", calls=range(1, 8)):
        sandbox.drain()
    assert handle.status().state == "succeeded"


def test_a_worker_that_lost_its_lease_ends(sandbox: Sandbox) -> None:
    handle = dig.enqueue("a")
    lost: list[Call] = []

    def lose(call: Call) -> Any:
        if ":progress" in str(call.arguments) and not lost:
            lost.append(call)
            values = call.arguments["ExpressionAttributeValues"] | {":token": {"S": "another"}}
            return call.carry_out({**call.arguments, "ExpressionAttributeValues": values})
        return call.make()

    with sandbox.fault(lose):
        sandbox.drain()
    assert lost
    assert handle.status().state == "succeeded"


def test_at_least_once_keeps_none(sandbox: Sandbox) -> None:
    seen: list[str] = []

    @task(canals, delivery="at_least_once")
    def dig_often(ctx: Context) -> None:
        try:
            ctx.progress(1)
        except TypeError as error:
            seen.append(str(error))

    dig_often.enqueue()
    sandbox.drain()
    assert "at_least_once: no record" in seen[0]


def test_a_call_in_a_test_checks_it_and_writes_nothing() -> None:
    @task(canals)
    def tell(ctx: Context, done: Any, total: Any = None, unit: Any = "") -> bool:
        ctx.progress(done, total, unit)
        return ctx.cancelled

    assert not tell(7, 10.5, "km")
    for wrong in ("7", True, None):
        with pytest.raises(TypeError, match="done is"):
            tell(wrong)
    with pytest.raises(ValueError, match="from 0 to"):
        tell(-1)
    with pytest.raises(ValueError, match="from 0 to"):
        tell(1, float("nan"))
    with pytest.raises(TypeError, match="unit is 7"):
        tell(1, 2, 7)
    with pytest.raises(ValueError, match="40 at most"):
        tell(1, 2, "x" * 41)


def test_cancelled_is_no_exception() -> None:
    assert not issubclass(Cancelled, Exception)
