"""Async code calls Celeriac without blocking its event loop: the twins of `enqueue`, `result` and `transaction`."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, assert_type

import pytest
from botocore.exceptions import ReadTimeoutError

import celeriac
from celeriac import (
    Backoff,
    ConditionFailedError,
    Context,
    Handle,
    InvalidArgumentsError,
    Queue,
    Reject,
    Status,
    TaskCancelled,
    TaskFailedError,
    task,
)
from celeriac.observe import trace
from celeriac.testing import Call, Sandbox
from tests.support.faults import out_of_reach

jobs = Queue("async-calls", concurrency=5, batch_size=10)
received: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    received.clear()


@task(jobs)
def receive(name: str) -> str:
    received.append(name)
    if name == "refused":
        raise Reject("no")
    return name.upper()


def test_enqueueing_and_waiting_for_the_result(sandbox: Sandbox) -> None:
    async def main() -> tuple[str, str, list[str]]:
        handle = assert_type(await receive.aenqueue("a"), Handle[str])
        before = assert_type(await handle.astatus(), Status)
        many = await receive.aenqueue_many([{"name": "b"}, {"name": "c"}])
        return before.state, await handle.aresult(), [await each.aresult(timeout=60) for each in many]

    assert asyncio.run(main()) == ("queued", "A", ["B", "C"])


def test_they_raise_what_their_twins_raise(sandbox: Sandbox) -> None:
    async def main() -> None:
        with pytest.raises(InvalidArgumentsError):
            await receive.aenqueue(name=5)  # type: ignore[arg-type]  # the fault
        with pytest.raises(InvalidArgumentsError):
            await receive.aenqueue_many([{}])
        late = await receive.options(delay=timedelta(days=1)).aenqueue("late")
        with pytest.raises(TimeoutError, match="is queued after 0:00:05"):
            await late.aresult(timeout=5)
        refused = await receive.aenqueue("refused")
        with pytest.raises(TaskFailedError):
            await refused.aresult()

    asyncio.run(main())


def test_waiting_for_a_result_looks_often_at_first_and_then_each_two_seconds(sandbox: Sandbox) -> None:
    looks: list[datetime] = []

    def note(call: Call) -> Any:
        if call.operation == "GetItem" and call.arguments.get("ConsistentRead"):
            looks.append(sandbox.now)
        return call.make()

    async def main() -> None:
        late = await receive.options(delay=timedelta(minutes=10), expires=timedelta(minutes=11)).aenqueue("late")
        looks.clear()
        with pytest.raises(TimeoutError):
            await late.aresult(timeout=60)

    with sandbox.fault(note), sandbox.worker():
        asyncio.run(main())
    waits = [round((later - one).total_seconds(), 2) for one, later in pairwise(dict.fromkeys(looks))]
    assert waits[:2] == [0.2, 0.26]
    assert max(waits) == 2


def test_who_stops_waiting_for_a_result_stops_nothing_else(sandbox: Sandbox) -> None:
    async def main() -> str:
        late = await receive.options(delay=timedelta(minutes=10)).aenqueue("late")
        waiting = asyncio.create_task(late.aresult(timeout=60))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await late.aresult(timeout=3600)

    assert asyncio.run(main()) == "LATE"


def test_the_result_of_what_has_expired_is_an_error_at_once(sandbox: Sandbox) -> None:
    async def main() -> None:
        brief = await receive.options(expires=timedelta(seconds=1)).aenqueue("brief")
        sandbox.advance(timedelta(seconds=1))
        with pytest.raises(TaskCancelled, match="expired"):
            await brief.aresult()

    asyncio.run(main())
    assert received == []


def test_a_transaction_of_an_async_task_commits_its_effects_and_its_success(sandbox: Sandbox) -> None:
    @task(jobs)
    async def pay(ctx: Context, number: str) -> None:
        async with ctx.transaction() as tx:
            tx.put("payments", {"pk": number})
            tx.enqueue(receive, name=number)
            tx.result({"paid": number})

    handle = pay.enqueue(number="p-1")
    sandbox.drain()
    assert sandbox.items("payments") == [{"pk": "p-1"}]
    assert received == ["p-1"]
    assert handle.status().result == {"paid": "p-1"}


def test_a_large_task_of_an_async_transaction_is_stored_at_the_commit_and_runs(sandbox: Sandbox) -> None:
    large = "x" * 300_000

    async def main() -> None:
        async with celeriac.transaction() as tx:
            tx.enqueue(receive, name="small")
            tx.enqueue(receive, name=large)
            assert sandbox.calls == {}
        with pytest.raises(KeyError):
            async with celeriac.transaction() as tx:
                tx.enqueue(receive, name=large)
                raise KeyError

    asyncio.run(main())
    assert sandbox.calls == {("s3", "PutObject"): 1, ("dynamodb", "TransactWriteItems"): 1}
    sandbox.drain()
    assert received == ["small", large]


def test_an_async_transaction_whose_large_task_cannot_be_stored_writes_nothing(sandbox: Sandbox) -> None:
    async def main() -> None:
        async with celeriac.transaction() as tx:
            tx.put("payments", {"pk": "p-1"})
            tx.enqueue(receive, name="x" * 300_000)

    with out_of_reach("s3", "PutObject"), pytest.raises(ReadTimeoutError):
        asyncio.run(main())
    assert sandbox.items("payments") == []
    sandbox.drain()
    assert received == []


def test_the_tasks_of_a_group_keep_their_order_in_an_async_transaction(sandbox: Sandbox) -> None:
    in_order = Queue("async-in-order", fifo=True)
    ran: list[int] = []

    @task(in_order)
    def step(number: int, text: str = "") -> None:
        ran.append(number)

    async def main() -> None:
        async with celeriac.transaction() as tx:
            for number in range(6):
                tx.enqueue(step.options(group="g"), number=number, text="x" * 300_000 * (number % 2))

    asyncio.run(main())
    sandbox.drain()
    assert ran == [0, 1, 2, 3, 4, 5]


def test_a_transaction_whose_block_raises_writes_nothing(sandbox: Sandbox) -> None:
    async def main() -> None:
        with pytest.raises(KeyError):
            async with celeriac.transaction() as tx:
                tx.put("payments", {"pk": "p-1"})
                raise KeyError
        async with celeriac.transaction() as tx:
            tx.put("payments", {"pk": "p-2"})
        with pytest.raises(ConditionFailedError):
            async with celeriac.transaction() as tx:
                tx.put("payments", {"pk": "p-2"}, condition="attribute_not_exists(pk)")

    asyncio.run(main())
    assert sandbox.items("payments") == [{"pk": "p-2"}]


async def _aenqueue(_: Context) -> None:
    await receive.aenqueue("a")


async def _transact(ctx: Context) -> None:
    async with ctx.transaction() as tx:
        tx.put("payments", {"pk": "p-1"})


async def _status(_: Context) -> None:
    await receive.handle(id="made-up").astatus()


@pytest.mark.parametrize(
    ("operation", "call"),
    [("SendMessage", _aenqueue), ("TransactWriteItems", _transact), ("GetItem", _status)],
)
def test_the_loop_turns_while_aws_is_slow(
    sandbox: Sandbox, operation: str, call: Callable[[Context], Awaitable[None]]
) -> None:
    turned = threading.Event()
    slow: list[bool] = []

    def wait_for_a_turn(made: Call) -> Any:
        if made.operation == operation and threading.current_thread().name.startswith("celeriac"):
            slow.append(turned.wait(5))
        return made.make()

    @task(jobs, retry=Backoff(attempts=1))
    async def work(ctx: Context) -> None:
        async def other() -> None:
            turned.set()

        await asyncio.gather(call(ctx), other())

    work.enqueue()
    with sandbox.fault(wait_for_a_turn):
        sandbox.drain()
    assert set(slow) == {True}
    assert sandbox.dead_letters(jobs) == []


def test_what_an_async_call_sends_follows_the_trace_of_its_task(sandbox: Sandbox) -> None:
    header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    traces: list[object] = []

    def note(made: Call) -> Any:
        if made.operation == "SendMessage":
            traces.append(made.arguments["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"])
        return made.make()

    @task(jobs)
    async def follow() -> None:
        trace.follow(header)
        await receive.aenqueue("a")

    follow.enqueue()
    with sandbox.fault(note):
        sandbox.drain()
    assert traces == [header]
