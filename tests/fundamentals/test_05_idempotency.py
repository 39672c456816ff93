"""Chapter 5: SQS may deliver a message twice, and a worker may die after its work. The effect comes about once."""

from collections import Counter

import pytest

from celeriac import Context, Queue, task
from celeriac.testing import Sandbox

payments = Queue("chapter-5")
charges: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _empty() -> None:
    charges.clear()


@task(payments, key="order")
def pay(ctx: Context, order: str) -> str:
    # A real provider takes `ctx.key` as its Idempotency-Key. It is the same at every attempt.
    charges[ctx.key] += 1
    return f"paid {order}"


@task(payments, delivery="at_most_once")
def launch(name: str) -> None:
    charges[name] += 1


def test_two_messages_with_one_key_are_one_payment(sandbox: Sandbox) -> None:
    first, second = pay.enqueue("o-1"), pay.enqueue("o-1")
    sandbox.drain()
    assert charges == {"pay:o-1": 1}
    assert first.result() == second.result() == "paid o-1"
    # The second message tells in which message's place it would have run; which of the two ran is SQS's choice.
    assert {first.duplicate_of, second.duplicate_of} & {first.id, second.id}


def test_a_worker_that_dies_after_the_work_pays_again_with_the_same_key(sandbox: Sandbox) -> None:
    pay.enqueue("o-2")
    sandbox.crash_at(2, after=False)  # the call that would record the success
    sandbox.drain()
    # It ran twice, and the provider saw one key: that is what the key is for.
    assert charges == {"pay:o-2": 2}


def test_at_most_once_never_runs_again(sandbox: Sandbox) -> None:
    launch.enqueue("rocket")
    sandbox.crash_at(2, after=False)
    sandbox.drain()
    assert charges == {"rocket": 1}
    (letter,) = sandbox.dead_letters(payments)
    assert letter.failure is not None
    assert letter.failure.reason == "interrupted"  # a person finds out whether the work was done
