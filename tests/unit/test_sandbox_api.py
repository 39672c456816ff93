"""What a test can do with its sandbox: send messages of other programs, inject faults, and read a table."""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from celeriac import Backoff, Context, Queue, task
from celeriac.testing import Call, Sandbox, WorkerDied, die_after, die_before
from tests.application import tables

jobs = Queue("sandbox-api")
ordered = Queue("sandbox-api-ordered", fifo=True)
ran: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    yield
    ran.clear()


@task(jobs, retry=Backoff(attempts=3))
def store(ctx: Context, name: str) -> None:
    ran.append(name)
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": name, "times": 1})


@task(ordered)
def note(ctx: Context, name: str) -> None:
    ran.append(f"{ctx.group}/{name}")


def test_a_body_of_another_program_runs_like_any_other(sandbox: Sandbox) -> None:
    sandbox.send(jobs, {"task": "store", "args": {"name": "a"}})
    sandbox.send(jobs, '{"task": "store", "args": {"name": "b"}}')
    sandbox.drain()
    assert sorted(ran) == ["a", "b"]


def test_the_attributes_of_a_sent_body_are_in_its_dead_letter(sandbox: Sandbox) -> None:
    sandbox.send(jobs, "nonsense", attributes={"tenant": "t-7"})
    sandbox.drain()
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.attributes["tenant"]["StringValue"] == "t-7"


def test_sent_bodies_of_a_group_keep_their_order(sandbox: Sandbox) -> None:
    for name in "abc":
        sandbox.send(ordered, {"task": "note", "args": {"name": name}}, group="g")
    sandbox.drain()
    assert ran == ["g/a", "g/b", "g/c"]


@pytest.mark.parametrize("table", ["orders", tables.orders])
def test_the_items_of_a_table_are_plain_values(sandbox: Sandbox, table: Any) -> None:
    store.enqueue("a")
    sandbox.drain()
    calls = sandbox.calls.copy()
    assert sandbox.items(table) == [{"pk": "a", "times": Decimal(1)}]
    assert sandbox.calls == calls  # reading isn't counted


def test_a_hook_sees_every_call_of_a_worker_and_may_fail_it(sandbox: Sandbox) -> None:
    seen: list[tuple[str, str]] = []

    def lose(call: Call) -> Any:
        seen.append((call.service, call.operation))
        if call.operation == "TransactWriteItems" and seen.count(("dynamodb", "TransactWriteItems")) == 1:
            raise ConnectTimeoutError(endpoint_url="https://dynamodb")
        return call.make()

    store.enqueue("a")
    with sandbox.fault(lose):
        sandbox.drain()
    assert ran == ["a", "a"]
    assert [item["pk"] for item in sandbox.items("orders")] == ["a"]
    assert ("sqs", "SendMessage") in seen  # the successor


def test_a_hook_ends_with_its_block(sandbox: Sandbox) -> None:
    with sandbox.fault(die_before):
        store.enqueue("a")
        sandbox.run_once()
    sandbox.advance(jobs.visibility + timedelta(seconds=1))
    sandbox.drain()
    assert ran == ["a"]


def test_code_outside_tasks_can_die_too(sandbox: Sandbox) -> None:
    with sandbox.fault(die_after), pytest.raises(WorkerDied), sandbox.worker():
        store.enqueue("a")
    sandbox.drain()
    assert ran == ["a"]  # SQS had accepted the message


def test_the_reference_lists_everything_that_a_sandbox_can_do() -> None:
    reference = (Path(__file__).parents[2] / "docs" / "reference" / "sandbox.md").read_text()
    public = {name for name in dir(Sandbox) if not name.startswith("_")}
    assert {name for name in public if not re.search(rf"`{name}[(`]", reference)} == set()
