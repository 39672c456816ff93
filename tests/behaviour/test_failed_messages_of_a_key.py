"""Many messages share the key of a FIFO task: its record remembers what it must, and doesn't grow."""

from datetime import timedelta
from typing import Any

import pytest

from celeriac import Backoff, Context, Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.aws.items import size_of
from celeriac.leases.counters import MOST_COUNTED
from celeriac.model import names
from celeriac.testing import Call, Sandbox, WorkerDied

ledger = Queue("one-key", fifo=True)
TWICE = Backoff(base=timedelta(minutes=1), jitter=0, attempts=2)
runs: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()


def _record(task_name: str) -> dict[str, Any]:
    """The record of the only key of a task, as it is stored."""
    items = client("dynamodb").scan(TableName=names.idempotency_table("test"))["Items"]
    (found,) = (item for item in items if item["id"]["S"].startswith(f"{task_name}#") and " " not in item["id"]["S"])
    return found


def _redrive() -> None:
    """Send every dead letter back to its queue, as AWS's own tools do."""
    dead, source = sqs.url(ledger.dead_letter_name("test")), sqs.url(ledger.physical_name("test"))
    while messages := client("sqs").receive_message(QueueUrl=dead, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            client("sqs").send_message(
                QueueUrl=source,
                MessageBody=message["Body"],
                MessageGroupId=message["MessageId"],
                MessageDeduplicationId=message["MessageId"],
            )
            client("sqs").delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])


def _dies_after(status: str) -> Any:
    """Lets the worker die once, after it has recorded `status`: its message isn't acknowledged."""
    left = [True]

    def strike(call: Call) -> Any:
        made = call.make()
        if left and call.arguments.get("ExpressionAttributeValues", {}).get(":status") == {"S": status}:
            left.clear()
            raise WorkerDied
        return made

    return strike


@pytest.mark.parametrize("attempts", [1, 2])
def test_the_record_does_not_grow_with_each_failed_message(sandbox: Sandbox, attempts: int) -> None:
    @task(ledger, key="account", retry=Backoff(base=timedelta(seconds=1), jitter=0, attempts=attempts))
    def book(account: str, number: int) -> None:
        runs.append("")
        raise ValueError

    sizes = []
    for _ in range(3):
        for number in range(100):
            book.options(group=f"{number % 5}").enqueue(account="a", number=number)
        sandbox.drain()
        sizes.append(size_of(_record("book")))
    assert len(runs) == 300 * attempts
    assert len(sandbox.dead_letters(ledger)) == 300
    assert max(sizes) < 2048
    assert max(sizes) - min(sizes) < 20  # a traceback may be longer by a digit


def test_a_record_that_has_grown_shrinks(sandbox: Sandbox) -> None:
    @task(ledger, key="account", retry=TWICE)
    def book(account: str, number: int) -> None:
        runs.append("")
        raise ValueError

    book.options(group="g").enqueue(account="a", number=0)
    sandbox.run_once()
    for number in range(400):
        client("dynamodb").update_item(
            TableName=names.idempotency_table("test"),
            Key={"id": _record("book")["id"]},
            UpdateExpression="SET #old = :five",
            ExpressionAttributeNames={"#old": f"failed_{number:012x}"},
            ExpressionAttributeValues={":five": {"N": "5"}},
        )
    for number in range(1, 3):
        book.options(group="g").enqueue(account="a", number=number)
    sandbox.drain()
    assert len(runs) == 6
    assert len([name for name in _record("book") if name.startswith("failed_")]) == MOST_COUNTED


@pytest.mark.parametrize("delivery", ["effectively_once", "at_least_once", "at_most_once"])
def test_a_success_removes_the_counters(sandbox: Sandbox, delivery: Any) -> None:
    @task(ledger, key="account", delivery=delivery, retry=Backoff(attempts=1) if delivery == "at_most_once" else TWICE)
    def book(ctx: Context, account: str) -> None:
        runs.append("")
        if ctx.attempt == 1 and delivery != "at_most_once":
            raise ValueError

    book.options(group="g").enqueue(account="a")
    sandbox.drain()
    assert len(runs) == (1 if delivery == "at_most_once" else 2)
    assert [name for name in _record("book") if name.startswith("failed_")] == []


def test_messages_of_several_groups_that_share_a_key_each_have_their_own_attempts(sandbox: Sandbox) -> None:
    @task(ledger, key="account", retry=Backoff(base=timedelta(minutes=1), jitter=0.5, attempts=3))
    def book(ctx: Context, account: str, name: str) -> None:
        runs.append(f"{name}{ctx.attempt}")
        raise ValueError

    for name in "abcd":
        book.options(group=name).enqueue(account="a", name=name)
    sandbox.drain()
    assert sorted(runs) == [f"{name}{attempt}" for name in "abcd" for attempt in (1, 2, 3)]
    assert len(sandbox.dead_letters(ledger)) == 4


@pytest.mark.parametrize("then", ["dies", "fails", "crashes"])
@pytest.mark.parametrize("on_mismatch", ["skip", "dead_letter"])
def test_a_late_copy_of_a_dead_message_does_not_run_after_another_message_of_its_key(
    sandbox: Sandbox, then: str, on_mismatch: Any
) -> None:
    @task(
        ledger,
        key="account",
        retry=Backoff(base=timedelta(hours=1), jitter=0, attempts=2),
        on_mismatch=on_mismatch,
    )
    def book(account: str, name: str) -> None:
        runs.append(name)
        if name == "first" or then == "dies":
            raise Reject("no")
        if len(runs) == 2:
            raise WorkerDied if then == "crashes" else ValueError

    book.options(group="g").enqueue(account="a", name="first")
    with sandbox.fault(_dies_after("DEAD")):
        sandbox.run_once()
    book.options(group="h").enqueue(account="a", name="second")
    sandbox.run_once()
    assert runs == ["first", "second"]
    sandbox.advance(ledger.visibility + timedelta(seconds=1))
    sandbox.run_once()  # the copy comes
    sandbox.drain()
    assert runs.count("first") == 1
    assert [letter.args["name"] for letter in sandbox.dead_letters(ledger)].count("first") == 1


def test_a_late_copy_of_a_done_message_does_not_run_after_others_have_come(sandbox: Sandbox) -> None:
    @task(ledger, key="account", retry=TWICE)
    def book(ctx: Context, account: str, name: str) -> None:
        runs.append(f"{name}{ctx.attempt}")
        if ctx.attempt == 1:
            raise ValueError

    book.options(group="g").enqueue(account="a", name="first")
    sandbox.run_once()
    sandbox.advance(timedelta(seconds=61))
    with sandbox.fault(_dies_after("COMPLETED")):
        sandbox.run_once()
    book.options(group="h").enqueue(account="a", name="second")
    sandbox.drain()
    assert runs == ["first1", "first2"]
    assert sandbox.dead_letters(ledger) == []


def test_each_redrive_of_a_letter_runs_with_fresh_attempts(sandbox: Sandbox) -> None:
    @task(ledger, key="account", retry=TWICE)
    def book(ctx: Context, account: str, name: str) -> None:
        runs.append(f"{name}{ctx.attempt}")
        raise ValueError

    book.options(group="g").enqueue(account="a", name="first")
    sandbox.drain()
    for redrives in (1, 2):
        book.options(group="h").enqueue(account="a", name="second")
        sandbox.drain()
        _redrive()
        sandbox.drain()
        assert runs.count("first1") == runs.count("first2") == redrives + 1
