"""Chapter 4: what can't succeed is a dead letter at once, with its reason. The rest of the batch isn't harmed."""

from celeriac import Queue, Reject, task
from celeriac.testing import Sandbox

cards = Queue("chapter-4")
charged: list[int] = []


@task(cards)
def charge(order: int, card: str = "valid") -> None:
    if card == "expired":
        raise Reject("the card has expired")  # no retry can help
    charged.append(order)


def test_a_rejected_task_is_not_retried(sandbox: Sandbox) -> None:
    charge.enqueue(1, card="expired")
    sandbox.drain()
    (letter,) = sandbox.dead_letters(cards)
    assert letter.args == {"order": 1, "card": "expired"}
    assert letter.failure is not None
    assert (letter.failure.reason, letter.failure.attempts) == ("rejected", 1)


def test_a_body_that_is_no_message_is_kept_byte_for_byte(sandbox: Sandbox) -> None:
    sandbox.send(cards, "<order>7</order>")
    sandbox.drain()
    (letter,) = sandbox.dead_letters(cards)
    assert letter.body == "<order>7</order>"
    assert letter.failure is not None
    assert letter.failure.reason == "malformed"


def test_the_rest_of_the_batch_succeeds(sandbox: Sandbox) -> None:
    for order in range(1, 10):
        charge.enqueue(order, card="expired" if order == 5 else "valid")
    sandbox.drain()
    assert sorted(charged) == [1, 2, 3, 4, 6, 7, 8, 9]
    assert [letter.args["order"] for letter in sandbox.dead_letters(cards)] == [5]
    charged.clear()
