"""Messages that come weeks after they were sent: a duplicate is still known, a redriven one has its time again."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.testing import Sandbox

DAY = timedelta(days=1)
jobs = Queue("late-copies")
ran: Counter[str] = Counter()


@task(jobs, key="order")
def pay(order: str) -> None:
    ran[order] += 1


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    yield
    ran.clear()


def _redrive_as_aws_does() -> int:
    queues = [sqs.url(jobs.dead_letter_name("test")), sqs.url(jobs.physical_name("test"))]
    asked: Any = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
    letters = client("sqs").receive_message(QueueUrl=queues[0], **asked).get("Messages", [])
    for letter in letters:
        attributes = letter.get("MessageAttributes", {})
        client("sqs").send_message(QueueUrl=queues[1], MessageBody=letter["Body"], MessageAttributes=attributes)
        client("sqs").delete_message(QueueUrl=queues[0], ReceiptHandle=letter["ReceiptHandle"])
    return len(letters)


def test_a_duplicate_that_was_dead_and_redriven_late_is_still_a_duplicate(sandbox: Sandbox) -> None:
    """It waits nearly as long as each queue keeps it: twice in its queue, and once in the dead-letter queue."""
    pay.enqueue("a")
    sandbox.drain()
    pay.enqueue("a")
    sandbox.advance(3.8 * DAY)
    quarantine.add(quarantine.of_task("pay"))
    quarantine.refresh()
    sandbox.run_once()
    assert len(sandbox.dead_letters(jobs)) == 1
    quarantine.lift(quarantine.of_task("pay"))
    quarantine.refresh()
    sandbox.advance(13.9 * DAY)
    assert _redrive_as_aws_does() == 1
    sandbox.advance(3.8 * DAY)
    sandbox.drain()
    assert ran == {"a": 1}


@pytest.mark.parametrize("task_name", ["pay", "unknown_to_this_release"])
def test_a_copy_that_sqs_moved_and_a_person_redrove_has_its_time_again(sandbox: Sandbox, task_name: str) -> None:
    """The date of the first sending came back with it. An outage begins just then."""
    long_ago = (sandbox.now - 12 * DAY).isoformat()
    attributes = {"Celeriac.FirstSentAt": long_ago, "Celeriac.FirstId": "first"}
    sandbox.send(jobs, {"task": task_name, "args": {"order": "a"}}, attributes=attributes)
    sandbox.outage("dynamodb", for_=timedelta(seconds=30))
    sandbox.run_once()
    assert sandbox.dead_letters(jobs) == []
    sandbox.drain()
    assert ran == ({"a": 1} if task_name == "pay" else {})
