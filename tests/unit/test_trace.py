"""A task belongs to the trace that enqueued it, through retries, dead letters and the outbox."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import celeriac
from celeriac import Backoff, Context, Outbox, Queue, task
from celeriac.aws.client import client
from celeriac.observe.trace import checked, current, follow
from celeriac.relay import handler
from celeriac.testing import Sandbox
from celeriac.worker.event import Invocation
from tests.application import tables
from tests.support.faults import registered

BEGUN = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
OTHER = "Root=1-67891233-abcdef012345678912345678;Parent=463ac35c9f6413ad;Sampled=0"

jobs = Queue("traced", concurrency=3)
ledger = Queue("traced-ledger", fifo=True)
seen: list[tuple[str, str | None]] = []


@pytest.fixture(autouse=True)
def _untraced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    yield
    seen.clear()
    follow(None)


@task(jobs, retry=Backoff(base=timedelta(seconds=30), attempts=2))
def first(name: str, fail: bool = False) -> None:  # noqa: FBT001, FBT002 - the parameters are the payload
    seen.append((name, current()))
    if fail:
        raise ConnectionError
    second.enqueue(name=name)


@task(jobs)
async def second(name: str) -> None:
    seen.append((f"{name}'s second", current()))


@task(ledger, on="traced.event")
def third(ctx: Context, name: str) -> None:
    seen.append((f"{name}'s third", current()))


def test_a_task_and_the_tasks_it_enqueues_belong_to_the_trace_that_enqueued_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, header in (("one", BEGUN), ("other", OTHER)):
        monkeypatch.setenv("_X_AMZN_TRACE_ID", header)
        first.enqueue(name=name)
    # Both run in one invocation, which has its own trace.
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-000000000000000000000000")
    sandbox.drain()

    assert dict(seen) == {"one": BEGUN, "one's second": BEGUN, "other": OTHER, "other's second": OTHER}


def test_tasks_of_enqueue_many_are_traced_too(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", BEGUN)
    with _sent_in_batches() as sent:
        second.enqueue_many([{"name": f"{number}"} for number in range(25)])

    assert list(sent.values()) == [BEGUN] * 25


def test_a_retry_and_a_dead_letter_stay_in_the_trace(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", BEGUN)
    first.enqueue(name="one", fail=True)
    monkeypatch.delenv("_X_AMZN_TRACE_ID")
    sandbox.drain()

    assert seen == [("one", BEGUN)] * 2
    assert _trace_in(jobs.dead_letter_name("test")) == BEGUN


def test_a_postponed_message_without_a_trace_gets_none_from_an_earlier_run(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", BEGUN)
    first.enqueue(name="one")
    monkeypatch.delenv("_X_AMZN_TRACE_ID")
    sandbox.drain()
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=jobs.physical_name("test"))["QueueUrl"]
    sent: list[Any] = []
    with registered("sqs", "before-parameter-build.sqs.SendMessage", lambda params, **_: sent.append(params)):
        sqs.send_message(QueueUrl=url, MessageBody='{"task": "of the next release"}')
        sandbox.run_once()  # postponed

    assert [message.get("MessageSystemAttributes") for message in sent] == [None, None]


def test_a_postponed_message_stays_in_its_trace(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sqs = client("sqs")
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName=jobs.physical_name("test"))["QueueUrl"],
        MessageBody='{"task": "of the next release"}',
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": BEGUN}},
    )
    monkeypatch.setenv("_X_AMZN_TRACE_ID", OTHER)
    sandbox.drain()  # postponed for a day, then a dead letter

    assert _trace_in(jobs.dead_letter_name("test")) == BEGUN


@pytest.mark.parametrize("body", ["not JSON", '{"v": 99, "task": "first"}'])
def test_an_unreadable_body_stays_in_its_trace(sandbox: Sandbox, body: str) -> None:
    sqs = client("sqs")
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName=jobs.physical_name("test"))["QueueUrl"],
        MessageBody=body,
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": BEGUN}},
    )
    sandbox.drain()

    assert _trace_in(jobs.dead_letter_name("test")) == BEGUN


def test_an_event_carries_its_trace_through_the_outbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", BEGUN)
    with celeriac.transaction() as tx:
        tx.emit("traced.event", {"name": "one"}, aggregate="a")
        tx.enqueue(second, name="one")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", OTHER)  # the relay's own
    with _sent_in_batches() as sent:
        sandbox.drain()

    assert sent == {"second": BEGUN, "third": BEGUN}


def test_an_event_on_the_bus_carries_its_trace(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    put: list[Any] = []

    def note(params: dict[str, Any], **_: object) -> None:
        put.extend(params["Entries"])

    row = {
        "pk": {"S": "a"},
        "sk": {"S": "1"},
        "type": {"S": "traced.event"},
        "occurred_at": {"S": "2026-01-01T00:00:00+00:00"},
        "data": {"S": json.dumps({"name": "one"})},
        "trace": {"S": BEGUN},
    }
    with registered("events", "before-parameter-build.events.PutEvents", note):
        handler.handler(
            {"Records": [{"dynamodb": {"NewImage": row, "SequenceNumber": "1"}}]},
            Invocation("relay", "r", datetime.now(UTC) + timedelta(minutes=3)),
        )

    assert [entry["TraceHeader"] for entry in put] == [BEGUN]


def test_a_task_enqueued_outside_a_trace_has_none(sandbox: Sandbox) -> None:
    first.enqueue(name="one")
    sandbox.drain()

    assert dict(seen) == {"one": None, "one's second": None}


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (BEGUN, BEGUN),
        (f"Self=1-67891234-12456789abcdef012345678;{BEGUN};Lineage=a87bd80c:1", BEGUN),
        ("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=?", "Root=1-5759e988-bd862e3fe1be46a994272793"),
        ("Root=nonsense;Sampled=1", None),
        ("Sampled=1", None),
        ("=;;", None),
        (None, None),
    ],
)
def test_a_header_that_sqs_would_refuse_is_left_out(header: str | None, kept: str | None) -> None:
    assert checked(header) == kept


@contextmanager
def _sent_in_batches() -> Iterator[dict[str, str]]:
    """The headers that are sent, by task and number. moto drops the headers of a batch and keeps its messages."""
    sent: dict[str, str] = {}

    def note(params: dict[str, Any], **_: object) -> None:
        for entry in params["Entries"]:
            message = json.loads(entry["MessageBody"])
            name = message["task"] + ("" if message["args"]["name"] == "one" else message["args"]["name"])
            sent[name] = entry["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"]

    with registered("sqs", "before-parameter-build.sqs.SendMessageBatch", note):
        yield sent


def _trace_in(queue: str) -> str | None:
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    (message,) = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["All"])["Messages"]
    return message["Attributes"].get("AWSTraceHeader")
