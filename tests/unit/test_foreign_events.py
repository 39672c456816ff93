"""Bodies and events of other systems: each is recognised and named with its cure."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.model.foreign_events import is_test_event, looks_like, wrong_trigger

SAMPLES = Path(__file__).parent / "foreign"
MESSAGE = '{"task": "work", "args": {"number": 1}}'
BODIES = [
    ("sns.json", "an SNS notification: turn on raw message delivery"),
    ("s3.json", "an S3 event notification: turn on EventBridge for the bucket"),
    ("eventbridge.json", "an EventBridge event: give its target an input transformer"),
    ("celery.json", "a Celery message: enqueue the task with Celeriac"),
    ("cloudevent.json", "a CloudEvent"),
    ("dramatiq.json", "a Dramatiq message"),
]


@pytest.mark.parametrize(("sample", "said"), BODIES)
def test_an_envelope_of_another_system_is_recognised(sample: str, said: str) -> None:
    assert (looks_like((SAMPLES / sample).read_text()) or "").startswith(said)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (json.dumps(MESSAGE), "JSON inside of JSON: encode the message once"),
        (json.dumps(json.dumps(MESSAGE)), "JSON inside of JSON"),
        (b64encode(MESSAGE.encode()).decode(), "JSON in base64: send the JSON itself"),
        (b64encode((SAMPLES / "celery.json").read_bytes()).decode(), "a Celery message"),
        (str(json.loads(MESSAGE)), "Python's own text of a dict: write it with json.dumps"),
        (f"[{MESSAGE}]", "a list: send each message by itself"),
        ('{"Records": [{"eventSource": "aws:kinesis"}]}', "a batch of records of aws:kinesis"),
    ],
)
def test_a_wrapped_message_is_recognised(body: str, said: str) -> None:
    assert (looks_like(body) or "").startswith(said)


@pytest.mark.parametrize("body", [MESSAGE, "nonsense", '"text"', "[]", "null", "{}", "[" * 100_000, "e" * 1001, "eyJ"])
def test_an_unknown_body_is_not_guessed(body: str) -> None:
    assert looks_like(body) is None


def test_only_the_test_event_of_s3_is_recognised_as_one() -> None:
    assert is_test_event((SAMPLES / "s3-test.json").read_text())
    for body in ["{}", '{"note": "s3:TestEvent"}', '"s3:TestEvent', "s3:TestEvent", '["s3:TestEvent"]']:
        assert not is_test_event(body)


def _lambda(sample: str, source: dict[str, str]) -> dict[str, Any]:
    record = json.loads((SAMPLES / sample).read_text())
    return {"Records": [{**source, "Sns": record}]}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (json.loads((SAMPLES / "s3.json").read_text()), "S3 notifies it directly: remove that notification"),
        (_lambda("sns.json", {"EventSource": "aws:sns"}), "an SNS topic notifies it directly: subscribe the queue"),
        (json.loads((SAMPLES / "eventbridge.json").read_text()), "an EventBridge rule invokes it directly"),
        ({"Records": [{"eventSource": "aws:dynamodb"}]}, "aws:dynamodb invokes it directly"),
        ({"Records": [{}]}, "something unknown invokes it directly"),
        ({"Records": "none"}, "its event's Records aren't a list of records"),
        ({}, "its event has no Records"),
        ({"key1": "value1"}, "its event has no Records"),
        (None, "it was invoked by hand"),
    ],
)
def test_an_event_that_is_not_a_queues_batch_is_named_with_its_cure(event: Any, said: str) -> None:
    assert (wrong_trigger(event) or "").startswith(said)


def test_a_queues_batch_is_recognised() -> None:
    assert wrong_trigger({"Records": []}) is None
    assert wrong_trigger({"Records": [{"messageId": "m-1", "eventSource": "aws:sqs"}]}) is None
    assert wrong_trigger({"Records": [{"messageId": "m-1"}]}) is None


@given(st.text())
def test_recognising_any_text_raises_no_error(body: str) -> None:
    assert looks_like(body) is None or looks_like(body)
    assert is_test_event(body) in {True, False}


def test_recognising_a_truncated_sample_raises_no_error() -> None:
    for sample in sorted(SAMPLES.glob("*.json")):
        text = sample.read_text()
        for end in range(0, len(text), 7):
            for closed in ("", "}", "null}", "]}"):
                looks_like(text[:end] + closed)
                is_test_event(text[:end] + closed)
