"""A chain's steps run one after another. Each gets the recorded result of the one before."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

import celeriac
from celeriac import RESULT, Backoff, ChainError, Context, Queue, Reject, TaskFailedError, TransactionError, task
from celeriac.testing import Sandbox
from tests.support.redrive import redrive_as_aws_does

first = Queue("chain-first")
second = Queue("chain-second", batch_size=10)
ordered = Queue("chain-ordered", fifo=True)
narrow = Queue("chain-narrow", sends_to=[first])
FAST = Backoff(base=timedelta(seconds=1), jitter=0, attempts=2)
ran: Counter[str] = Counter()
got: list[Any] = []
fails: set[str] = set()


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()
    got.clear()
    fails.clear()


@task(first, retry=FAST)
def c_fetch(url: str) -> str:
    ran["fetch"] += 1
    if "fetch" in fails:
        raise Reject("no such page")
    return f"page {ran['fetch']} of {url}"


@task(second, retry=FAST)
def c_parse(page: str, *, strict: bool = False) -> list[str]:
    ran["parse"] += 1
    got.append((page, strict))
    if "parse" in fails:
        raise Reject("no page")
    return page.split()


@task(ordered, key="name", retry=FAST)
def c_store(name: str, rows: list[str]) -> int:
    ran["store"] += 1
    got.append(rows)
    return len(rows)


@task(second, delivery="at_least_once")
def c_notify(count: int) -> None:
    ran["notify"] += 1
    got.append(count)


@task(first, retry=FAST)
def c_book(ctx: Context, order: str, *, tells: bool = True) -> str:
    ran["book"] += 1
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": order})
        if tells:
            tx.result(f"booked {ran['book']}")
    return "lost"


@task(narrow)
def c_narrow(url: str) -> str:
    celeriac.chain(c_fetch.bind(url=url)).enqueue()
    c_parse.enqueue(page="x")
    return url


def test_each_step_gets_the_result_of_the_one_before(sandbox: Sandbox) -> None:
    handle = celeriac.chain(
        c_fetch.bind(url="u"),
        c_parse.bind(RESULT, strict=True),
        c_store.options(group="g").bind(name="n", rows=RESULT),
        c_notify.bind(count=RESULT),
    ).enqueue()
    assert handle.status().step == 0
    sandbox.drain()
    assert got == [("page 1 of u", True), ["page", "1", "of", "u"], 4]
    assert ran == Counter({"fetch": 1, "parse": 1, "store": 1, "notify": 1})
    assert handle.steps[2].key == "c_store:n"
    assert [step.status().state for step in handle.steps] == ["succeeded"] * 3 + ["unknown"]


def test_the_last_result_is_the_chains(sandbox: Sandbox) -> None:
    handle = celeriac.chain(c_fetch.bind("u"), c_parse.bind(page=RESULT)).enqueue()
    assert handle.result() == ["page", "1", "of", "u"]
    status = handle.status()
    assert (status.state, status.step, status.steps) == ("succeeded", 1, 2)


def test_a_dead_step_ends_the_chain_until_it_is_redriven(sandbox: Sandbox) -> None:
    fails.add("parse")
    handle = celeriac.chain(c_fetch.bind("u"), c_parse.bind(page=RESULT), c_notify.bind(count=3)).enqueue()
    sandbox.drain()
    assert ran == Counter({"fetch": 1, "parse": 1})
    assert (handle.status().state, handle.status().step) == ("dead", 1)
    with pytest.raises(TaskFailedError, match="c_parse"):
        handle.result()
    fails.clear()
    redrive_as_aws_does(second)
    sandbox.drain()
    assert ran == Counter({"fetch": 1, "parse": 2, "notify": 1})


def test_a_transaction_names_the_result_that_the_next_step_takes(sandbox: Sandbox) -> None:
    celeriac.chain(c_book.bind(order="o-1"), c_parse.bind(page=RESULT)).enqueue()
    sandbox.drain()
    assert got == [("booked 1", False)]
    assert len(sandbox.items("orders")) == 1


def test_a_transaction_without_a_result_writes_nothing_if_the_next_step_takes_it(sandbox: Sandbox) -> None:
    celeriac.chain(c_book.bind(order="o-1", tells=False), c_parse.bind(page=RESULT)).enqueue()
    sandbox.drain()
    assert not got
    assert not sandbox.items("orders")
    (letter,) = sandbox.dead_letters(first)
    assert letter.failure is not None
    assert letter.failure.type.endswith("TransactionError")
    assert "tx.result" in letter.failure.message


def test_a_step_whose_next_takes_nothing_needs_no_result(sandbox: Sandbox) -> None:
    celeriac.chain(c_book.bind(order="o-1", tells=False), c_parse.bind(page="given")).enqueue()
    sandbox.drain()
    assert got == [("given", False)]


def test_a_chain_in_a_transaction_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(TransactionError, match="before the commit"), celeriac.transaction():
        celeriac.chain(c_fetch.bind("u")).enqueue()


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (list, "1 to 26 steps"),
        (lambda: [c_parse.bind(page=RESULT)], "the first step has none"),
        (lambda: [c_fetch.bind("u"), c_notify.bind(count=RESULT)], "str is no int"),
        (lambda: [c_fetch.bind("u"), c_store.bind(name=RESULT, rows=[])], "options\\(key="),
        (lambda: [c_fetch], "task.bind"),
        (lambda: [c_fetch.bind("u")] * 27, "1 to 26 steps"),
        (lambda: [c_notify.bind(count=1), c_parse.bind(page=RESULT)], "returns nothing"),
    ],
)
def test_steps_that_cant_be_chained_are_refused(sandbox: Sandbox, steps: Any, text: str) -> None:
    with pytest.raises(ChainError, match=text):
        celeriac.chain(*steps())


def test_a_result_elsewhere_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(celeriac.InvalidArgumentsError, match="only a step of a chain"):
        c_parse.enqueue(page=RESULT)
    with pytest.raises(celeriac.InvalidArgumentsError, match="inside a value"):
        c_store.bind(name="n", rows=[RESULT])
    with pytest.raises(celeriac.InvalidArgumentsError, match="pages"):
        c_parse.bind(pages=RESULT)  # type: ignore[call-arg]
    with pytest.raises(celeriac.InvalidArgumentsError, match="strict"):
        c_parse.bind(page=RESULT, strict="no")  # type: ignore[arg-type]


def test_a_queue_sends_only_where_it_may(sandbox: Sandbox) -> None:
    with pytest.raises(celeriac.LeavesQueueError, match="sends_to of 'chain-narrow'"):
        celeriac.chain(c_narrow.bind(url="u"), c_parse.bind(page=RESULT))
    c_narrow.enqueue(url="u")
    sandbox.drain()
    assert ran["fetch"] >= 1
    (letter,) = sandbox.dead_letters(narrow)
    assert letter.failure is not None
    assert letter.failure.type.endswith("LeavesQueueError")
