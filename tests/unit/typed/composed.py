"""What mypy and pyright say of tasks, batches and chains. It is read, never run: each comment that ignores an error
must be needed, so a line whose error is gone is an error itself.
"""

from typing import Any, assert_type

import celeriac
from celeriac import (
    RESULT,
    Batch,
    BatchStatus,
    Bound,
    Chain,
    ChainHandle,
    Context,
    Handle,
    KnownBatch,
    Queue,
    batch,
    chain,
    task,
)

queue = Queue("typed")


@task(queue)
def fetch(url: str, *, tries: int = 3) -> str:
    return url * tries


@task(queue)
async def parse(ctx: Context, page: str) -> list[str]:
    return [ctx.id, page]


@task(queue)
def store(rows: list[str]) -> int:
    return len(rows)


@task(queue)
def tell(ctx: Context, month: str = "") -> None: ...


def bound() -> None:
    assert_type(fetch.bind("u"), Bound[str])
    assert_type(fetch.options(key="k").bind(url="u", tries=5), Bound[str])
    assert_type(parse.bind("page"), Bound[list[str]])  # neither the context nor the coroutine
    assert_type(RESULT, Any)
    assert_type(parse.bind(RESULT), Bound[list[str]])
    assert_type(fetch.bind(url=RESULT, tries=RESULT), Bound[str])

    fetch.bind()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fetch.bind(tries=RESULT)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fetch.bind(RESULT, RESULT)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fetch.bind(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fetch.bind("u", tries="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fetch.bind("u", more=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def enqueued() -> None:
    assert_type(fetch.enqueue("u"), Handle[str])
    assert_type(parse.enqueue(page="u").result(), list[str])
    assert_type(await fetch.aenqueue("u", tries=5), Handle[str])

    fetch.enqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    fetch.enqueue(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fetch.enqueue("u", more=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await fetch.aenqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def batches() -> None:
    with batch(then=tell.bind(month="2026-10"), dead=tell.bind(), key="k") as one:
        assert_type(one, Batch)
        assert_type(one.enqueue(fetch, "u", tries=5), Handle[str])
        assert_type(one.enqueue(parse.options(key="k"), page="u"), Handle[list[str]])
        assert_type(one.enqueue_many(fetch, [{"url": "u"}]), int)
        assert_type(one.status(), BatchStatus)

        one.enqueue(fetch)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        one.enqueue(fetch, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        one.enqueue(fetch, "u", more=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        one.enqueue(fetch.bind("u"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]

    async with celeriac.batch(then=tell.bind()) as other:
        assert_type(other, Batch)
        assert_type(await other.aenqueue(parse, "u"), Handle[list[str]])
        assert_type(await other.aenqueue_many(fetch, [{"url": "u"}]), int)
        await other.aenqueue(fetch)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    assert_type(celeriac.batch_of(other.id), KnownBatch)
    batch(then=tell)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    batch(tell.bind())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def chains() -> None:
    whole = chain(fetch.bind("u"), parse.bind(RESULT), store.bind(rows=RESULT))
    assert_type(whole, Chain[int])
    assert_type(whole.enqueue(), ChainHandle[int])
    assert_type(whole.enqueue().result(), int)
    assert_type(await (await whole.aenqueue()).aresult(), int)
    assert_type(celeriac.chain(fetch.bind("u")), Chain[str])

    steps = [fetch.bind("u"), fetch.bind(RESULT)]
    assert_type(chain(*steps), Chain[str])
    assert_type(chain(*steps, store.bind(rows=[])), Chain[int])

    chain(fetch)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    chain(fetch, parse.bind(RESULT))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
