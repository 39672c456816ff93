"""The worker dies before and after each AWS call it makes: nothing is lost, and nothing committed happens twice."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

import pytest

import celeriac
from celeriac import Backoff, Context, Queue, Reject, Retry, names, task
from celeriac.aws import client
from celeriac.testing import Sandbox

jobs = Queue("crashing")
runs: list[str] = []
LONG = timedelta(hours=2)


@task(jobs, key="name")
def succeed(name: str) -> None:
    runs.append(name)


@task(jobs, key="name", retry=Backoff(attempts=2))
def fail_once(ctx: Context, name: str) -> None:
    runs.append(name)
    if ctx.attempt == 1:
        raise ConnectionError


@task(jobs, key="name")
def wait_long(ctx: Context, name: str) -> None:
    runs.append(name)
    if ctx.attempt == 1:
        raise Retry(delay=LONG)


@task(jobs, key="name")
def refuse(name: str) -> None:
    runs.append(name)
    raise Reject("no")


@task(jobs, key="name", delivery="at_least_once")
def notify(name: str) -> None:
    runs.append(name)


@task(jobs, key="name")
def transfer(ctx: Context, name: str) -> None:
    runs.append(name)
    with ctx.transaction() as tx:
        tx.put("payments", {"pk": name}, condition="attribute_not_exists(pk)")
        tx.emit("transfer.done", {"name": name}, aggregate=name)
        tx.enqueue(succeed, name=f"{name}-enqueued")


@task(jobs, key="name", on="transfer.done")
def book(name: str) -> None:
    runs.append(f"{name}-booked")


ledger = Queue("crashing-ledger", fifo=True)


@task(ledger, key="name", name="book_in_order", retry=Backoff(attempts=2))
def book_in_order(ctx: Context, name: str) -> None:
    runs.append(name)
    if name == "a" and ctx.attempt == 1:
        raise ConnectionError
    if name == "b":
        raise Reject("no such account")


def _three_in_order() -> None:
    for name in ("a", "b", "c"):
        book_in_order.options(group="g").enqueue(name=name)


@dataclass(frozen=True)
class Path:
    """A way through the consumer and the relay, and what must have come of it in the end."""

    start: Callable[[], object]
    completed: int = 0
    """Idempotency records that say COMPLETED."""
    dead: int = 0
    ran: tuple[str, ...] = ("a",)
    """What ran, at least once each."""
    queue: Queue = jobs


def _emit() -> None:
    with celeriac.transaction() as tx:
        tx.emit("transfer.done", {"name": "a"}, aggregate="a")


PATHS = {
    "success": Path(lambda: succeed.enqueue(name="a"), completed=1),
    "retry": Path(lambda: fail_once.enqueue(name="a"), completed=1),
    "long retry": Path(lambda: wait_long.enqueue(name="a"), completed=1),
    "reject": Path(lambda: refuse.enqueue(name="a"), dead=1),
    "at least once": Path(lambda: notify.enqueue(name="a")),
    "large payload": Path(lambda: refuse.enqueue(name="a" * 300_000), dead=1, ran=("a" * 300_000,)),
    "transaction": Path(lambda: transfer.enqueue(name="a"), completed=3, ran=("a", "a-enqueued", "a-booked")),
    "duplicate": Path(lambda: succeed.enqueue_many([{"name": "a"}, {"name": "a"}]), completed=1),
    "fifo": Path(_three_in_order, completed=2, dead=1, ran=("a", "b", "c"), queue=ledger),
    "relay": Path(_emit, completed=1, ran=("a-booked",)),
}


def _calls_of_workers(path: Path) -> int:
    """How many AWS calls the path's workers make when none dies."""
    with Sandbox() as sandbox:
        path.start()
        before = sum(sandbox.calls.values())
        sandbox.drain()
        return sum(sandbox.calls.values()) - before


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", PATHS)
def test_a_worker_may_die_at_any_call(name: str, *, after: bool) -> None:
    path = PATHS[name]
    points = _calls_of_workers(path)
    assert points >= (0 if name == "at least once" else 2)
    for point in range(1, points + 1):
        with Sandbox() as sandbox:
            runs.clear()
            path.start()
            sandbox.crash_at(point, after=after)
            sandbox.drain()

            where = f"{name}, {'after' if after else 'before'} call {point} of {points}"
            letters = sandbox.dead_letters(path.queue)
            # A worker that dies between sending a dead letter and being acknowledged sends it twice: never none.
            assert (len({letter.id for letter in letters}), bool(letters)) == (path.dead, bool(path.dead)), where
            assert set(runs) == set(path.ran), where
            if path.queue.fifo:
                assert [name for name, _ in groupby(runs)] == list(path.ran), where
            assert _completed() == path.completed, where


def test_a_transaction_commits_once_wherever_its_worker_dies() -> None:
    path = PATHS["transaction"]
    for point in range(1, _calls_of_workers(path) + 1):
        for after in (False, True):
            with Sandbox() as sandbox:
                path.start()
                sandbox.crash_at(point, after=after)
                sandbox.drain()
                outbox = client("dynamodb").scan(TableName=names.outbox_table("test"))
                assert outbox["Count"] == 2
                assert all("published_at" in item for item in outbox["Items"])


def _completed() -> int:
    items = client("dynamodb").scan(TableName=names.idempotency_table("test"))["Items"]
    return sum(item["status"] == {"S": "COMPLETED"} for item in items)
