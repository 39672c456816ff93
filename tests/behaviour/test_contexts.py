"""Every call of a task has a context of its own: what one task sets in a context variable, no other task sees."""

import asyncio
import decimal
import threading
from contextvars import ContextVar
from datetime import timedelta

import pytest

from celeriac import Backoff, Context, Queue, task
from celeriac.testing import Sandbox

one_by_one = Queue("contexts", concurrency=1, batch_size=10)
ledger = Queue("contexts-ledger", fifo=True, concurrency=1, batch_size=10)
tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
seen: list[tuple[str, int]] = []


def _note_and_set(name: str) -> None:
    seen.append((tenant.get(), decimal.getcontext().prec))
    tenant.set(name)
    decimal.getcontext().prec = 3


@task(one_by_one)
def serve(name: str) -> None:
    _note_and_set(name)


@task(one_by_one)
async def serve_later(name: str) -> None:
    _note_and_set(name)
    await asyncio.sleep(0)
    assert tenant.get() == name


@task(ledger, retry=Backoff(base=timedelta(), jitter=0))
def book(ctx: Context, name: str) -> None:
    _note_and_set(name)
    if ctx.attempt == 1 and name == "a":
        raise ConnectionError


@pytest.fixture(autouse=True)
def _empty() -> None:
    seen.clear()


UNTOUCHED = ("nobody", decimal.DefaultContext.prec)


def test_a_task_does_not_see_what_the_task_before_it_set(sandbox: Sandbox) -> None:
    serve.enqueue_many({"name": name} for name in "abc")
    sandbox.drain()
    assert seen == [UNTOUCHED] * 3


def test_an_async_task_does_not_see_what_a_sync_or_async_task_set(sandbox: Sandbox) -> None:
    serve.enqueue(name="a")
    serve_later.enqueue(name="b")
    serve_later.enqueue(name="c")
    serve.enqueue(name="d")
    sandbox.drain()
    assert seen == [UNTOUCHED] * 4


def test_neither_a_retry_nor_the_next_message_of_a_group_sees_what_was_set(sandbox: Sandbox) -> None:
    for name in "ab":
        book.options(group="g").enqueue(name=name)
    sandbox.drain()
    assert seen == [UNTOUCHED] * 3


def test_a_task_does_not_see_what_an_overrun_set_before_or_after_it_was_left_behind(sandbox: Sandbox) -> None:
    overrun, released, over = threading.Event(), threading.Event(), threading.Event()

    @task(ledger, name="book_slowly", timeout=timedelta(milliseconds=50), retry=Backoff(attempts=1))
    def slow() -> None:
        _note_and_set("slow")
        overrun.set()
        released.wait(10)
        assert tenant.get() == "slow"
        tenant.set("slow, later")
        over.set()

    @task(ledger, name="book_next")
    def following() -> None:
        assert overrun.is_set()
        released.set()
        over.wait(10)
        _note_and_set("next")

    slow.options(group="g").enqueue()
    following.options(group="g").enqueue()
    following.options(group="g").enqueue()
    try:
        sandbox.drain()
    finally:
        released.set()
    assert over.is_set()
    assert seen == [UNTOUCHED] * 3


def test_a_task_does_not_see_the_context_of_the_code_that_enqueued_it(sandbox: Sandbox) -> None:
    token = tenant.set("the producer's")
    try:
        serve.enqueue(name="a")
        sandbox.drain()
    finally:
        tenant.reset(token)
    assert seen == [UNTOUCHED]


def test_what_a_validator_or_a_policy_sets_is_not_seen_by_a_task(sandbox: Sandbox) -> None:
    def policy(error: BaseException, attempt: int) -> timedelta:
        tenant.set("the policy's")
        return timedelta()

    @task(ledger, name="book_by_policy", retry=policy)
    def fail(ctx: Context) -> None:
        _note_and_set("fail")
        if ctx.attempt == 1:
            raise ConnectionError

    for _ in range(2):
        fail.options(group="g").enqueue()
    sandbox.drain()
    assert seen == [UNTOUCHED] * 4
