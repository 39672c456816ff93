"""SQS delivers at least once: what a copy of a message does in each state of its task."""

import json
from collections.abc import Callable

import pytest

from celeriac import Backoff, Context, Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.testing import Sandbox
from tests.support.redrive import redrive_as_aws_does

jobs = Queue("jobs", batch_size=10)
runs: list[int] = []
cured: list[bool] = []
type Send = Callable[[Queue, object], None]
ID = "019b76da-a800-777b-b172-c1977946262c"


@pytest.fixture(autouse=True)
def _empty() -> None:
    runs.clear()
    cured.clear()


@task(jobs, retry=Backoff(attempts=3))
def flaky(ctx: Context) -> None:
    runs.append(ctx.attempt)
    if ctx.attempt < 3:
        raise ConnectionError


@task(jobs, key="order")
def refuse(ctx: Context, order: str) -> None:
    runs.append(ctx.attempt)
    if not cured:
        raise Reject("no")


def test_a_copy_of_a_failed_attempt_starts_no_second_chain_of_retries(sandbox: Sandbox, send: Send) -> None:
    copy = {"id": ID, "task": "flaky", "args": {}}
    send(jobs, copy)
    sandbox.run_once()
    send(jobs, copy)
    send(jobs, copy)
    sandbox.drain()
    assert runs == [1, 2, 3]


def test_a_late_copy_of_a_dead_letter_is_skipped(sandbox: Sandbox, send: Send) -> None:
    copy = {"id": ID, "task": "refuse", "args": {"order": "o-1"}}
    send(jobs, copy)
    sandbox.drain()
    send(jobs, copy)
    sandbox.drain()
    assert runs == [1]
    assert len(sandbox.dead_letters(jobs)) == 1


def test_a_redriven_dead_letter_runs_with_fresh_attempts_and_the_same_id(sandbox: Sandbox, send: Send) -> None:
    send(jobs, {"id": ID, "attempt": 4, "task": "refuse", "args": {"order": "o-1"}})
    sandbox.drain()
    cured.append(True)
    redrive_as_aws_does(jobs, copies=2)
    sandbox.drain()
    assert runs == [4, 1]
    assert sandbox.dead_letters(jobs) == []


def test_a_redriven_dead_letter_that_dies_again_is_one_dead_letter_again(sandbox: Sandbox, send: Send) -> None:
    send(jobs, {"id": ID, "task": "refuse", "args": {"order": "o-1"}})
    sandbox.drain()
    redrive_as_aws_does(jobs, copies=2)
    sandbox.drain()
    assert runs == [1, 1]
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.id == ID


def test_another_message_with_the_key_of_a_dead_letter_runs(sandbox: Sandbox) -> None:
    refuse.enqueue(order="o-1")
    sandbox.drain()
    cured.append(True)
    refuse.enqueue(order="o-1")
    sandbox.drain()
    assert runs == [1, 1]


def test_a_dead_letter_that_sqs_moved_itself_is_redriven_like_any_other(sandbox: Sandbox, send: Send) -> None:
    body = {"id": ID, "task": "refuse", "args": {"order": "o-1"}}
    client("sqs").send_message(QueueUrl=sqs.url(jobs.dead_letter_name("test")), MessageBody=json.dumps(body))
    (letter,) = sandbox.dead_letters(jobs)
    assert letter.failure is None
    cured.append(True)
    redrive_as_aws_does(jobs)
    sandbox.drain()
    assert runs == [1]
