"""The sandbox's SQS keeps SQS's rules: retention, the limit of visibility timeouts, what moves to a DLQ."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from celeriac import Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.testing import Sandbox
from celeriac.testing.account import lying_in

HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
jobs = Queue("rules", max_receives=5)
ledger = Queue("rules-ledger", fifo=True, max_receives=20)
ran: list[str] = []


@task(jobs)
def note(name: str) -> None:
    ran.append(name)


@task(ledger)
def book(name: str) -> None:
    ran.append(name)


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()


def _url(queue: Queue, *, dead: bool = False) -> str:
    return sqs.url(queue.dead_letter_name("test") if dead else queue.physical_name("test"))


def _send(sandbox: Sandbox, queue: Queue, name: str) -> None:
    body = {"task": "book" if queue.fifo else "note", "args": {"name": name}}
    sandbox.send(queue, body, group="g" if queue.fifo else None)


def _receive(queue: Queue, visibility: timedelta | None = None) -> list[Any]:
    asked: Any = {} if visibility is None else {"VisibilityTimeout": int(visibility.total_seconds())}
    return client("sqs").receive_message(QueueUrl=_url(queue), MaxNumberOfMessages=10, **asked).get("Messages", [])


@pytest.mark.parametrize("queue", [jobs, ledger])
def test_a_message_is_gone_at_the_end_of_its_retention(sandbox: Sandbox, queue: Queue) -> None:
    _send(sandbox, queue, "old")
    sandbox.advance(queue.retention - SECOND)
    _send(sandbox, queue, "young")
    sandbox.advance(SECOND)
    sandbox.drain()
    assert ran == ["young"]
    assert sandbox.dead_letters(queue) == []


@pytest.mark.parametrize("queue", [jobs, ledger])
def test_retention_ends_for_a_message_in_flight_and_for_those_behind_it(sandbox: Sandbox, queue: Queue) -> None:
    _send(sandbox, queue, "a")
    _send(sandbox, queue, "b")
    sandbox.advance(queue.retention - HOUR)
    (received, *_) = _receive(queue, 2 * HOUR)
    sandbox.advance(HOUR)
    assert lying_in(_url(queue)) == []
    client("sqs").delete_message(QueueUrl=_url(queue), ReceiptHandle=received["ReceiptHandle"])  # SQS accepts it
    _send(sandbox, queue, "c")  # nothing holds its group back
    sandbox.drain()
    assert ran == ["c"]


def test_what_no_worker_can_settle_expires_instead_of_moving(sandbox: Sandbox) -> None:
    brief = Queue("rules-brief", retention=timedelta(minutes=20), max_receives=20)

    @task(brief)
    def never() -> None: ...

    never.enqueue()
    with sandbox.fault(_refuse):
        sandbox.drain()
    assert lying_in(_url(brief)) == []
    assert sandbox.dead_letters(brief) == []


def _refuse(_: object) -> Any:
    raise TimeoutError


def _let_sqs_move(sandbox: Sandbox, queue: Queue) -> None:
    for _ in range(queue.receive_limit):
        assert _receive(queue)
        sandbox.advance(queue.visibility + SECOND)
    assert _receive(queue) == []


def test_what_sqs_moves_to_a_dead_letter_queue_keeps_its_age(sandbox: Sandbox) -> None:
    _send(sandbox, jobs, "a")
    sandbox.advance(3 * DAY)
    _let_sqs_move(sandbox, jobs)
    sandbox.advance(jobs.dead_letter_retention - 4 * DAY)
    assert len(sandbox.dead_letters(jobs)) == 1
    sandbox.advance(DAY)
    assert sandbox.dead_letters(jobs) == []


def test_what_sqs_moves_to_a_fifo_dead_letter_queue_begins_its_age_anew(sandbox: Sandbox) -> None:
    _send(sandbox, ledger, "a")
    sandbox.advance(3 * DAY)
    _let_sqs_move(sandbox, ledger)
    sandbox.advance(ledger.dead_letter_retention - SECOND)
    assert len(sandbox.dead_letters(ledger)) == 1
    sandbox.advance(SECOND)
    assert sandbox.dead_letters(ledger) == []


def test_a_dead_letter_that_a_worker_sends_is_kept_for_the_whole_retention(sandbox: Sandbox) -> None:
    sandbox.send(jobs, "nonsense")
    sandbox.advance(3 * DAY)
    sandbox.drain()
    sandbox.advance(jobs.dead_letter_retention - SECOND)
    assert len(sandbox.dead_letters(jobs)) == 1
    sandbox.advance(SECOND)
    assert sandbox.dead_letters(jobs) == []


def test_a_visibility_timeout_ends_twelve_hours_after_the_receive_at_most(sandbox: Sandbox) -> None:
    _send(sandbox, jobs, "a")
    sandbox.advance(2 * DAY)  # the time since the send doesn't count
    (received,) = _receive(jobs)
    change: Any = {"QueueUrl": _url(jobs), "ReceiptHandle": received["ReceiptHandle"]}
    client("sqs").change_message_visibility(**change, VisibilityTimeout=12 * 3600)
    sandbox.advance(HOUR)
    with pytest.raises(ClientError, match="beyond the limit"):
        client("sqs").change_message_visibility(**change, VisibilityTimeout=11 * 3600 + 1)
    client("sqs").change_message_visibility(**change, VisibilityTimeout=11 * 3600)


def test_one_visibility_beyond_the_limit_fails_alone_in_its_batch(sandbox: Sandbox) -> None:
    _send(sandbox, jobs, "a")
    _send(sandbox, jobs, "b")
    received = _receive(jobs)
    sandbox.advance(HOUR)
    entries: Any = [
        {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": seconds}
        for i, (message, seconds) in enumerate(zip(received, (12 * 3600, 60), strict=True))
    ]
    answer = client("sqs").change_message_visibility_batch(QueueUrl=_url(jobs), Entries=entries)
    assert [done["Id"] for done in answer["Successful"]] == ["1"]
    assert [(failed["Id"], failed["Code"]) for failed in answer["Failed"]] == [("0", "InvalidParameterValue")]
