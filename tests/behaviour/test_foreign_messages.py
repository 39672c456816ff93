"""Messages of other systems and languages either run as meant, or become dead letters that name the sender's format and
the cure.
"""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac import Queue, task
from celeriac.aws import sqs
from celeriac.aws.attributes import MORE
from celeriac.aws.client import client
from celeriac.entry.consumer import handler
from celeriac.model.foreign_events import WrongTriggerError
from celeriac.testing import DeadLetter, Sandbox
from celeriac.worker.event import Invocation
from celeriac_console.dlq.queue_reader import Pass
from celeriac_console.dlq.redriver import Redriver
from celeriac_console.rate import Rate

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "unit" / "foreign"
inbox = Queue("inbox", patience=timedelta(hours=1), batch_size=10)
ran: list[object] = []
type Send = Callable[[Queue, object], None]


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()


@task(inbox)
def purge(days: int = 30, *, table: str = "") -> None:
    ran.append(days)


@task(inbox)
def import_upload(bucket: str, key: str) -> None:
    ran.append((bucket, key))


def _only(sandbox: Sandbox) -> DeadLetter:
    (letter,) = sandbox.dead_letters(inbox)
    assert letter.failure is not None
    return letter


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('{"task": "purge", "kwargs": {"days": 365}}', "`kwargs` looks like them"),
        ('{"task": "purge", "days": 365}', "its parameters days stand beside `args`: write them into it"),
        ('{"task": "purge", "args": {"table": "t"}, "days": 365}', "its parameters days stand beside `args`"),
        ('{"task": "purge", "args": {}, "Days": 365}', "its parameters days stand beside `args`"),
        ('{"task": "purge", "args": {"table": "t"}, "kwargs": {"days": 365}}', "its parameters days stand beside"),
        ('{"task": "purge", "options": {"days": 365}}', "its parameters days stand beside `args`"),
        ('{"task": "purge", "args": null, "message": {"DAYS": 365}}', "its parameters days stand beside `args`"),
        ('{"task": "purge", "args": "{\\"days\\": 365}"}', "args is a text; where it holds JSON, send the object"),
        ('{"task": "purge", "args": [365]}', 'args has names, write an object such as {"days": ...}'),
        ('{"task": "purge", "args": {"table": "\\ud83d"}}', "`args.table` holds half of a surrogate pair"),
        ('{"task": "purge", "args": {"days": NaN}}', "it holds NaN"),
    ],
)
def test_arguments_that_cannot_be_read_never_become_the_defaults(
    sandbox: Sandbox, send: Send, body: str, problem: str
) -> None:
    send(inbox, body)
    send(inbox, {"task": "purge", "args": {"days": 7}, "attempt": 0, "key": None})
    sandbox.drain()

    assert ran == [7]
    letter = _only(sandbox)
    assert letter.failure is not None
    assert (letter.task, letter.failure.reason) == ("purge", "malformed")
    assert problem in letter.failure.message


def test_a_senders_own_fields_beside_args_are_not_arguments(sandbox: Sandbox, send: Send) -> None:
    send(inbox, {"task": "purge", "args": {"days": 1}, "Days": 2, "meta": {"days": 3, "tenant": "t"}, "ID": "i"})
    sandbox.drain()
    assert ran == [1]


def test_an_envelope_of_another_system_is_a_dead_letter_that_names_its_format(sandbox: Sandbox, send: Send) -> None:
    for sample in ("sns", "s3", "eventbridge", "celery"):
        send(inbox, (SAMPLES / f"{sample}.json").read_text())
    send(inbox, {"task": "purge"})
    sandbox.drain()

    assert ran == [30]
    messages = [letter.failure.message for letter in sandbox.dead_letters(inbox) if letter.failure]
    assert [re.sub(r"[:,].*", "", message.removeprefix("not a message: ")) for message in messages] == [
        "it looks like an SNS notification",
        "it looks like an S3 event notification",
        "it looks like an EventBridge event",
        "it looks like a Celery message",
    ]


def test_the_test_event_of_s3_is_acknowledged_and_counted(
    sandbox: Sandbox, send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    send(inbox, (SAMPLES / "s3-test.json").read_text())
    sandbox.drain()

    assert sandbox.dead_letters(inbox) == []
    assert '"TestEvent":[1' in capsys.readouterr().out.replace(" ", "")


def test_a_task_name_in_another_case_gets_a_suggestion(sandbox: Sandbox, send: Send) -> None:
    send(inbox, {"task": "Purge"})
    sandbox.drain()
    failure = _only(sandbox).failure
    assert failure is not None
    assert "did you mean purge?" in failure.message


@pytest.mark.parametrize("event", [{}, json.loads((SAMPLES / "s3.json").read_text())], ids=["by hand", "S3"])
def test_an_invocation_that_is_not_from_a_queue_fails_with_an_explanation(sandbox: Sandbox, event: Any) -> None:
    with pytest.raises(
        WrongTriggerError, match=r"takes batches from its SQS queue, and .*(message to its|remove that)"
    ):
        handler(event, Invocation("celeriac-test--inbox", "request", sandbox.now))


def _transformed(event: Any, transformer: dict[str, Any]) -> str:
    """As EventBridge does it: each placeholder outside quotes becomes the JSON of the value at its path."""

    def found(placeholder: re.Match[str]) -> str:
        value = event
        for step in transformer["InputPathsMap"][placeholder[1]].removeprefix("$.").split("."):
            value = value[step]
        return json.dumps(value)

    return re.sub(r"<([\w-]+)>", found, transformer["InputTemplate"])


def test_the_input_transformer_of_the_documentation_makes_a_message_that_runs(sandbox: Sandbox, send: Send) -> None:
    documentation = (ROOT / "docs" / "reference" / "messages.md").read_text()
    (block,) = re.findall(r"```json\n(\{\s*\"InputPathsMap\".*?)```", documentation, re.DOTALL)
    event = json.loads((SAMPLES / "eventbridge.json").read_text())
    body = _transformed(event, json.loads(block))
    send(inbox, body)
    send(inbox, body)  # EventBridge delivers at least once
    sandbox.drain()

    assert ran == [("uploads", "red flower.jpg")]


def _send_with(count: int, body: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        f"a-{i}": {"DataType": "String.tag", "StringValue": f"value {i}"} for i in range(count - 1)
    }
    attributes["raw"] = {"DataType": "Binary", "BinaryValue": b"\x00\xff"}
    url = sqs.url(inbox.physical_name("test"))
    client("sqs").send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)
    return attributes


@pytest.mark.parametrize("count", [1, 9, 10])
@pytest.mark.parametrize("body", ["nonsense", '{"v": 99}', '{"task": "unheard"}', '{"task": "purge", "args": [1]}'])
def test_the_senders_attributes_stay_with_a_letter_and_return_with_a_redrive(
    sandbox: Sandbox, count: int, body: str
) -> None:
    attributes = _send_with(count, body)
    sandbox.drain()

    letter = _only(sandbox)
    assert letter.attributes == attributes
    assert letter.failure is not None

    reading = Pass(inbox)
    redriver = Redriver(
        reading,
        inbox,
        lambda taken: True,
        lambda letter: letter.args,
        pace=Rate(None),
        most=None,
        would_send=None,
        advance=lambda done: None,
    )
    reading.run(redriver.visit)
    url = sqs.url(inbox.physical_name("test"))
    (message,) = client("sqs").receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert message["MessageAttributes"] == attributes


def test_attributes_that_fill_a_message_travel_through_s3_with_its_body(sandbox: Sandbox) -> None:
    large = {"large": {"DataType": "String", "StringValue": "x" * 1_040_000}}
    url = sqs.url(inbox.physical_name("test"))
    client("sqs").send_message(QueueUrl=url, MessageBody="nonsense " * 600, MessageAttributes=large)  # type: ignore[arg-type]  # a TypedDict
    sandbox.drain()

    letter = _only(sandbox)
    assert (letter.body, letter.attributes) == ("nonsense " * 600, large)


@pytest.mark.parametrize("date", ["soon", "2026-01-01T00:00:00", "2999-01-01T00:00:00+00:00", ""])
def test_a_first_sent_at_attribute_of_another_program_does_not_change_a_messages_age(
    sandbox: Sandbox, date: str
) -> None:
    noted = {"DataType": "String", "StringValue": date or " "}
    url = sqs.url(inbox.physical_name("test"))
    client("sqs").send_message(QueueUrl=url, MessageBody='{"v": 99}', MessageAttributes={"first_sent_at": noted})  # type: ignore[dict-item]  # a TypedDict
    sandbox.drain()
    failure = _only(sandbox).failure
    assert failure is not None
    assert failure.reason == "newer version"


def test_a_senders_attribute_with_a_reserved_name_stays_the_senders(sandbox: Sandbox) -> None:
    theirs = {"failure": {"DataType": "String", "StringValue": "none"}}
    url = sqs.url(inbox.physical_name("test"))
    client("sqs").send_message(QueueUrl=url, MessageBody="nonsense", MessageAttributes=theirs)  # type: ignore[arg-type]  # a TypedDict
    sandbox.drain()
    letter = _only(sandbox)
    assert letter.attributes == theirs
    assert letter.failure is not None
    assert letter.failure.reason == "malformed"


_BUSINESS = {"DataType": "String", "StringValue": '{"reason": "card declined", "message": "a field of the shop"}'}
_MINE = {"DataType": "String", "StringValue": "mine"}


@pytest.mark.parametrize("body", ["nonsense", '{"task": "unheard"}', '{"v": 99}'])
@pytest.mark.parametrize("others", [0, 7], ids=["three", "ten"])
def test_all_attributes_with_reserved_names_stay_the_senders(sandbox: Sandbox, body: str, others: int) -> None:
    theirs = {f"a-{i}": _MINE for i in range(others)}
    theirs |= {"failure": _BUSINESS, "first_sent_at": _MINE, "more_attributes": _MINE}
    sqs.send(inbox.physical_name("test"), sqs.Entry(body, attributes=theirs))  # type: ignore[arg-type]  # a TypedDict
    sandbox.drain()
    assert _only(sandbox).attributes == theirs


@pytest.mark.parametrize(
    "packed",
    [
        '{"x": {"type": "Foo", "text": "a"}}',
        '{"x": {"type": "", "text": "a"}}',
        '{"x": {"type": "String.", "text": "a"}}',
        '{"x": {"type": "String"}}',
        '{"x": {"type": "String", "text": "\\u0000"}}',
        '{"x": {"type": "Number", "text": "abc"}}',
        '{"x": {"type": "Number", "text": "1e999"}}',
        '{"x": {"type": "Binary", "base64": ""}}',
        '{"x": {"type": "Binary", "text": "a"}}',
        '{"aws.x": {"type": "String", "text": "a"}, "y": {"type": "String", "text": "a"}}',
        f'{{"x": {{"type": "String.{"a" * 250}", "text": "a"}}}}',
        '"nonsense"',
    ],
)
@pytest.mark.parametrize("body", ["nonsense", '{"task": "unheard"}', '{"task": "purge", "args": {"days": "x"}}'])
@pytest.mark.parametrize("name", [MORE, "more_attributes"])
def test_packed_attributes_that_sqs_would_refuse_stay_as_another_program_wrote_them(
    sandbox: Sandbox, name: str, packed: str, body: str
) -> None:
    theirs = {name: {"DataType": "String", "StringValue": packed}}
    sqs.send(inbox.physical_name("test"), sqs.Entry(body, attributes=theirs))  # type: ignore[arg-type]  # a TypedDict
    sandbox.drain()
    assert _only(sandbox).attributes == theirs


@pytest.mark.parametrize("number", ["7", "-0.5", "+1", ".5", "1e5", "1.5E-100", "0"])
def test_a_packed_number_attribute_is_unpacked(sandbox: Sandbox, number: str) -> None:
    given = f'{{"x": {{"type": "Number.int", "text": "{number}"}}}}'
    theirs = {MORE: {"DataType": "String", "StringValue": given}}
    sqs.send(inbox.physical_name("test"), sqs.Entry("nonsense", attributes=theirs))  # type: ignore[arg-type]  # a TypedDict
    sandbox.drain()
    assert _only(sandbox).attributes == {"x": {"DataType": "Number.int", "StringValue": number}}


@pytest.mark.parametrize("body", ["nonsense", '{"task": "unheard"}', '{"v": 99}'])
def test_a_message_with_attributes_that_sqs_refuses_is_dead_lettered_without_them(sandbox: Sandbox, body: str) -> None:
    record = {
        "messageId": "m-1",
        "receiptHandle": "r-1",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1000000000000"},
        "messageAttributes": {"x": {"dataType": "Foo", "stringValue": "a"}},
        "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{inbox.physical_name('test')}",
    }
    context = Invocation("celeriac-test--inbox", "request", sandbox.now + timedelta(seconds=60))
    answer = handler({"Records": [record]}, context)
    assert answer == {"batchItemFailures": []}
    assert _only(sandbox).attributes == {}
