"""Chapter 11: the sandbox lets AWS fail as you like, to see what your own tasks make of it."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from celeriac import Context, Queue, task
from celeriac.testing import Call, Sandbox, WorkerDied, die_before

stock = Queue("chapter-11")


@task(stock, key="article")
def take(ctx: Context, article: str) -> None:
    with ctx.transaction() as tx:
        tx.put("orders", {"pk": article})


def lose_the_answer_once() -> Any:
    """AWS carries the transaction out, and the answer never arrives."""
    lost: list[Call] = []

    def hook(call: Call) -> Any:
        answer = call.make()
        if call.operation == "TransactWriteItems" and not lost:
            lost.append(call)
            raise ConnectTimeoutError(endpoint_url="https://dynamodb")
        return answer

    return hook


def test_a_lost_answer_is_not_a_failure(sandbox: Sandbox) -> None:
    handle = take.enqueue("pen")
    with sandbox.fault(lose_the_answer_once()):
        sandbox.drain()
    assert [item["pk"] for item in sandbox.items("orders")] == ["pen"]
    assert (handle.status().state, sandbox.dead_letters(stock)) == ("succeeded", [])


def test_a_producer_that_dies_before_it_sends_has_sent_nothing(sandbox: Sandbox) -> None:
    with sandbox.fault(die_before), pytest.raises(WorkerDied), sandbox.worker():
        take.enqueue("pen")
    sandbox.drain()
    assert sandbox.items("orders") == []


def test_the_sandbox_counts_calls(sandbox: Sandbox) -> None:
    take.enqueue("pen")
    sandbox.drain()
    assert sandbox.calls["sqs", "SendMessage"] == 1
    assert sandbox.calls["dynamodb", "TransactWriteItems"] == 1


def test_an_outage_costs_no_attempt(sandbox: Sandbox) -> None:
    handle = take.enqueue("pen")
    sandbox.outage("dynamodb", for_=timedelta(minutes=10))
    sandbox.drain()
    assert handle.status().state == "succeeded"
    assert handle.status().attempts == 1
