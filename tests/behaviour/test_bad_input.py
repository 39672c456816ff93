"""One bad message harms only itself. It reaches the dead-letter queue whole, with the reason."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from celeriac import Queue, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.entry.consumer import handler
from celeriac.testing import DeadLetter, Sandbox
from celeriac.worker.event import Invocation

inbox = Queue("inbox", batch_size=10)
ran: list[int] = []
type Send = Callable[[Queue, object], None]
MIB = 1_048_576


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()


@task(inbox)
def work(number: int, note: str = "") -> None:
    ran.append(number)


def _only(sandbox: Sandbox) -> DeadLetter:
    (letter,) = sandbox.dead_letters(inbox)
    return letter


@pytest.mark.parametrize(
    "body",
    [
        "not JSON",
        "{",
        "[]",
        "null",
        '"work"',
        "{}",
        '{"task": ""}',
        '{"task": 7}',
        '{"task": "work", "args": {"number": 1}, "attempt": -1}',
        '{"task": "work", "args": {"number": 1}, "attempt": "two"}',
        '{"task": "work", "args": NaN}',
        '{"v": "one", "task": "work"}',
        "[" * 100_000,
    ],
    ids=lambda body: body[:30],
)
def test_a_body_that_is_not_a_message_is_a_dead_letter_byte_for_byte(sandbox: Sandbox, send: Send, body: str) -> None:
    send(inbox, body)
    send(inbox, {"task": "work", "args": {"number": 1}})
    sandbox.drain()

    assert ran == [1]
    letter = _only(sandbox)
    assert letter.body == body
    assert letter.failure is not None
    assert letter.failure.reason == "malformed"
    assert letter.failure.message


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"number": "seven"}, "Expected `int`, got `str` - at `number`"),
        ({}, "missing required field `number`"),
        ({"number": 1, "colour": "red"}, "unknown field `colour`"),
        ([1], "Expected `object`, got `array`"),
        (None, "missing required field `number`"),
        ('{"number": 1}', "Expected `object`, got `str`: args is a text; where it holds JSON, send the object itself"),
        ([1], 'write an object such as {"number": ...}'),
    ],
)
def test_wrong_arguments_are_a_dead_letter_that_names_the_field(
    sandbox: Sandbox, send: Send, args: object, problem: str
) -> None:
    send(inbox, {"task": "work", "args": args})
    send(inbox, {"task": "work", "args": {"number": 1}})
    sandbox.drain()

    assert ran == [1]
    letter = _only(sandbox)
    assert letter.failure is not None
    assert letter.failure.reason == "malformed"
    assert problem in letter.failure.message
    assert json.loads(letter.body)["args"] == (args or {})


def test_a_message_of_an_unknown_task_waits_and_then_is_a_dead_letter(sandbox: Sandbox, send: Send) -> None:
    start = sandbox.now
    send(inbox, {"task": "wrok", "args": {"number": 1}})
    sandbox.drain()

    letter = _only(sandbox)
    assert letter.failure is not None
    assert letter.failure.reason == "unknown task"
    assert "work" in letter.failure.message
    assert letter.args == {"number": 1}
    assert timedelta(days=1) < sandbox.now - start < timedelta(days=1, hours=1)


def test_a_message_runs_once_a_later_deploy_has_its_task(sandbox: Sandbox, send: Send) -> None:
    send(inbox, {"task": "coming", "args": {"number": 9}})
    sandbox.run_once()

    @task(inbox)
    def coming(number: int) -> None:
        ran.append(number)

    sandbox.drain()
    assert ran == [9]


@pytest.mark.parametrize("size", [MIB, MIB - 1, MIB - 500])
def test_a_malformed_body_of_a_mebibyte_is_a_dead_letter_with_its_whole_body(
    sandbox: Sandbox, send: Send, size: int
) -> None:
    body = "x" * size
    send(inbox, body)
    send(inbox, {"task": "work", "args": {"number": 1}})
    sandbox.drain()

    assert ran == [1]
    letter = _only(sandbox)
    assert letter.body == body
    assert letter.failure is not None
    assert letter.failure.reason == "malformed"
    # SQS counts attributes too: body and reason together are too large. moto doesn't count attributes.
    assert sandbox.calls["s3", "PutObject"] == 1


def test_a_failed_message_of_a_mebibyte_is_a_dead_letter_with_its_whole_body(sandbox: Sandbox, send: Send) -> None:
    empty = json.dumps({"task": "work", "args": {"number": "?", "note": ""}})
    note = "x" * (MIB - len(empty))
    send(inbox, {"task": "work", "args": {"number": "?", "note": note}})
    sandbox.drain()

    letter = _only(sandbox)
    assert letter.args == {"number": "?", "note": note}
    assert letter.failure is not None
    assert letter.failure.reason == "malformed"


def test_a_message_of_a_mebibyte_runs(sandbox: Sandbox, send: Send) -> None:
    empty = json.dumps({"task": "work", "args": {"number": 3, "note": ""}})
    send(inbox, {"task": "work", "args": {"number": 3, "note": "x" * (MIB - len(empty))}})
    sandbox.drain()
    assert ran == [3]


def test_a_message_whose_stored_payload_is_gone_is_a_dead_letter(sandbox: Sandbox) -> None:
    work.enqueue(number=1, note="x" * 300_000)
    s3 = client("s3")
    bucket = s3.list_buckets()["Buckets"][0]["Name"]
    (stored,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    s3.delete_object(Bucket=bucket, Key=stored["Key"])
    sandbox.run_once()

    url = sqs.url(inbox.dead_letter_name("test"))
    (message,) = client("sqs").receive_message(QueueUrl=url)["Messages"]
    failure = json.loads(message["Body"])["failure"]
    assert failure["reason"] == "malformed"
    assert "is gone" in failure["message"]


def test_an_empty_batch_is_not_a_failure(sandbox: Sandbox) -> None:
    context = Invocation("celeriac-test--inbox", "request", sandbox.now)
    assert handler({"Records": []}, context) == {"batchItemFailures": []}


def test_a_message_from_an_undeclared_queue_stays_in_its_queue(sandbox: Sandbox) -> None:
    record = {"messageId": "m-1", "body": "{}", "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:other"}
    context = Invocation("celeriac-test--inbox", "request", sandbox.now)
    assert handler({"Records": [record]}, context) == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}


def test_a_message_of_a_newer_release_waits_and_stays_byte_for_byte(sandbox: Sandbox, send: Send) -> None:
    start = sandbox.now
    body = '{"v": 99, "task": "work", "arguments": [1]}'
    send(inbox, body)
    sandbox.drain()

    letter = _only(sandbox)
    assert letter.body == body
    assert letter.failure is not None
    assert letter.failure.reason == "newer version"
    assert letter.failure.first_at == start
    assert timedelta(days=1) < sandbox.now - start < timedelta(days=1, hours=1)


def test_a_queue_sets_how_long_its_messages_wait_for_a_release(sandbox: Sandbox, send: Send) -> None:
    hasty = Queue("hasty", patience=timedelta(minutes=5), batch_size=10)

    @task(hasty)
    def known() -> None: ...

    start = sandbox.now
    send(hasty, {"task": "unknown", "args": {}})
    sandbox.drain()
    assert len(sandbox.dead_letters(hasty)) == 1
    assert timedelta(minutes=5) < sandbox.now - start < timedelta(minutes=15)
