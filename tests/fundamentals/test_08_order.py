"""Chapter 8: a FIFO queue keeps the order within a group, also through retries. Groups don't wait for each other."""

import pytest

from celeriac import Backoff, Context, Queue, Reject, task
from celeriac.testing import Sandbox

accounts = Queue("chapter-8", fifo=True)
booked: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    booked.clear()


@task(accounts, retry=Backoff(attempts=3))
def book(ctx: Context, entry: str, fails: int = 0) -> None:
    if ctx.attempt <= fails:
        raise ConnectionError
    if entry == "wrong":
        raise Reject("no such account")
    booked.append(f"{ctx.group}/{entry}")


def _book(group: str, *entries: str, fails: int = 0) -> None:
    for entry in entries:
        book.options(group=group).enqueue(entry, fails=fails if entry == entries[0] else 0)


def test_a_group_runs_in_order(sandbox: Sandbox) -> None:
    _book("a-1", "1", "2", "3")
    sandbox.drain()
    assert booked == ["a-1/1", "a-1/2", "a-1/3"]


def test_a_retry_does_not_let_the_next_message_overtake(sandbox: Sandbox) -> None:
    _book("a-1", "1", "2", "3", fails=2)
    sandbox.drain()
    assert booked == ["a-1/1", "a-1/2", "a-1/3"]


def test_a_dead_letter_lets_its_group_go_on(sandbox: Sandbox) -> None:
    _book("a-1", "wrong", "2")
    sandbox.drain()
    assert booked == ["a-1/2"]
    assert [letter.args["entry"] for letter in sandbox.dead_letters(accounts)] == ["wrong"]


def test_other_groups_go_on_meanwhile(sandbox: Sandbox) -> None:
    _book("a-1", "1", fails=1)
    _book("a-2", "1")
    sandbox.run_once()
    assert booked == ["a-2/1"]
    sandbox.drain()
    assert booked == ["a-2/1", "a-1/1"]
