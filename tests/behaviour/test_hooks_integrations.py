"""The integrations: what Sentry, OpenTelemetry and structlog get of a task's attempts."""

import importlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

import celeriac
from celeriac import Backoff, Context, Queue, Retry, task
from celeriac.execute.threads import left_behind
from celeriac.hooks import broken
from celeriac.integrations.needed import MissingPackageError
from celeriac.integrations.opentelemetry import OpenTelemetry
from celeriac.integrations.sentry import Sentry
from celeriac.integrations.structlog import Structlog
from celeriac.observe.text import key_hash
from celeriac.testing import Sandbox

jobs = Queue("integrations", batch_size=10)
ledger = Queue("integrations-ledger", fifo=True, batch_size=10)
TWICE = Backoff(base=timedelta(minutes=1), jitter=0, attempts=2)
SECRET = "4111-1111"


@task(jobs, key="card", retry=TWICE)
def charge(ctx: Context, card: str, failures: int = 0) -> None:
    sentry_sdk.add_breadcrumb(message=f"attempt {ctx.attempt} begins")
    logging.getLogger("charge").info("charging")
    if ctx.attempt <= failures:
        raise ConnectionError(f"no answer for {card}")


@task(jobs, key="card", retry=TWICE)
async def charge_later(ctx: Context, card: str, failures: int = 0) -> None:
    sentry_sdk.add_breadcrumb(message=f"attempt {ctx.attempt} begins")
    if ctx.attempt <= failures:
        raise ConnectionError(f"no answer for {card}")


@task(ledger, retry=TWICE)
def book(ctx: Context) -> None:
    if ctx.attempt == 1:
        raise ConnectionError


@task(jobs, on="card.charged")
def thank(card: str) -> None: ...


class Kept(Transport):
    """Keeps what would be sent to Sentry."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(event)


@pytest.fixture
def sentry() -> Iterator[Kept]:
    kept = Kept()
    sentry_sdk.init(
        dsn="https://key@127.0.0.1/1", transport=kept, default_integrations=False, auto_enabling_integrations=False
    )
    yield kept
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)
    sentry_sdk.get_global_scope().clear()


def test_sentry_gets_the_error_of_each_failed_attempt(sentry: Kept) -> None:
    with Sandbox(hooks=[Sentry()]) as sandbox:
        handle = charge.enqueue(card=SECRET, failures=2)
        charge.enqueue(card="good")
        sandbox.drain()
    first, second = sentry.events
    assert [event["level"] for event in (first, second)] == ["warning", "error"]
    assert second["tags"] == {
        "task": "charge",
        "queue": "integrations",
        "message_id": handle.id,
        "attempt": "2",
        "outcome": "dead",
        "key_hash": key_hash(f"charge:{SECRET}"),
    }
    assert second["transaction"] == "charge"
    (error,) = second["exception"]["values"]
    assert (error["type"], error["value"]) == ("ConnectionError", f"no answer for {SECRET}")


@pytest.mark.parametrize("enqueued", [charge, charge_later], ids=lambda one: one.name)
def test_an_event_has_the_breadcrumbs_of_its_own_attempt_only(sentry: Kept, enqueued: Any) -> None:
    with Sandbox(hooks=[Sentry()]) as sandbox:
        enqueued.enqueue(card="a", failures=2)
        sandbox.drain()
    assert [[crumb["message"] for crumb in event["breadcrumbs"]["values"]] for event in sentry.events] == [
        ["attempt 1 begins"],
        ["attempt 2 begins"],
    ]


def test_sentry_gets_no_arguments_and_without_texts_nothing_of_a_payload(sentry: Kept) -> None:
    with Sandbox(hooks=[Sentry()]) as sandbox:
        charge.enqueue(card=SECRET, failures=1)
        sandbox.drain()
    (event,) = sentry.events
    assert [frame.get("vars") for frame in event["exception"]["values"][0]["stacktrace"]["frames"]][-1] is None
    with Sandbox(hooks=[Sentry(texts=False)]) as sandbox:
        charge.enqueue(card=SECRET, failures=1)
        sandbox.drain()
    sent = json.dumps(sentry.events[1], default=str)
    assert "ConnectionError" in sent
    assert SECRET not in sent.replace('raise ConnectionError(f\\"no answer', "")


def test_sentry_gets_variables_if_they_are_asked_for(sentry: Kept) -> None:
    with Sandbox(hooks=[Sentry(variables=True)]) as sandbox:
        charge.enqueue(card=SECRET, failures=1)
        sandbox.drain()
    assert sentry.events[0]["exception"]["values"][0]["stacktrace"]["frames"][-1]["vars"]["card"] == repr(SECRET)


def test_sentry_gets_a_dead_letter_that_never_ran_and_no_retry_that_a_task_asks_for(sentry: Kept) -> None:
    @task(jobs)
    def wait(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise Retry("later")

    with Sandbox(hooks=[Sentry()]) as sandbox:
        wait.enqueue()
        sandbox.send(jobs, "no message")
        sandbox.drain()
    (event,) = sentry.events
    assert event["message"] == "dead letter: malformed"
    assert event["tags"]["queue"] == "integrations"


def test_sentry_gets_the_last_of_many_retries_that_a_task_asks_for(sentry: Kept) -> None:
    @task(jobs, retry=TWICE)
    def wait() -> None:
        raise Retry("later")

    with Sandbox(hooks=[Sentry()]) as sandbox:
        wait.enqueue()
        sandbox.drain()
    assert [(event["level"], event["tags"]["outcome"]) for event in sentry.events] == [("error", "dead")]


def test_a_timeout_reaches_sentry_too(sentry: Kept) -> None:
    import asyncio  # noqa: PLC0415 - only here

    @task(jobs, timeout=timedelta(milliseconds=50), retry=Backoff(attempts=1))
    async def overrun() -> None:
        await asyncio.Event().wait()

    with Sandbox(hooks=[Sentry()]) as sandbox:
        overrun.enqueue()
        sandbox.drain()
    assert [event["exception"]["values"][0]["type"] for event in sentry.events] == ["TaskTimeoutError"]


def test_the_librarys_line_about_a_dead_letter_is_no_event_of_its_own() -> None:
    kept = Kept()
    sentry_sdk.init(dsn="https://key@127.0.0.1/1", transport=kept, auto_enabling_integrations=False)
    try:
        with Sandbox(hooks=[Sentry()]) as sandbox:
            charge.enqueue(card="a", failures=2)
            sandbox.drain()
    finally:
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)
        sentry_sdk.get_global_scope().clear()
    assert ["exception" in event for event in kept.events] == [True, True]


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    yield (exporter := InMemorySpanExporter())
    exporter.shutdown()


def opentelemetry(exporter: InMemorySpanExporter, **options: Any) -> OpenTelemetry:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return OpenTelemetry(tracer_provider=provider, **options)


class Collector(SpanExporter):
    """A collector that doesn't answer before it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked += 1
        self.answers.wait(30)
        return SpanExportResult.SUCCESS


def test_a_collector_that_does_not_answer_holds_no_attempt_up_for_longer_than_said() -> None:
    """The SDK's batch processor waits for its exporter, whatever time it is given."""
    collector, provider = Collector(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(collector, schedule_delay_millis=60_000))
    broken.take_count()
    try:
        hook = OpenTelemetry(tracer_provider=provider, flush=timedelta(milliseconds=20))
        with Sandbox(hooks=[hook]) as sandbox:
            for number in range(12):
                charge.enqueue(card=f"{SECRET}{number}")
            sandbox.drain()
            assert left_behind() == 0
        assert (broken.take_count(), collector.asked) == (0, 1)
    finally:
        collector.answers.set()
        provider.shutdown()


def context_of(span: ReadableSpan) -> Any:
    assert span.context is not None
    return span.context


def by_kind(exporter: InMemorySpanExporter, kind: SpanKind) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.kind == kind]


@pytest.mark.parametrize("enqueued", [charge, charge_later], ids=lambda one: one.name)
def test_the_attempts_of_a_message_are_in_its_producers_trace(enqueued: Any, spans: InMemorySpanExporter) -> None:
    with Sandbox(hooks=[opentelemetry(spans)]) as sandbox:
        handle = enqueued.enqueue(card=SECRET, failures=1)
        sandbox.drain()
    (made,), (first, second) = by_kind(spans, SpanKind.PRODUCER), by_kind(spans, SpanKind.CONSUMER)
    assert {context_of(span).trace_id for span in (made, first, second)} == {context_of(made).trace_id}
    assert [span.parent and span.parent.span_id for span in (first, second)] == [context_of(made).span_id] * 2
    assert list(first.links) == []
    assert [link.context.span_id for link in second.links] == [context_of(first).span_id]
    assert (made.name, first.name) == ("create integrations", "process integrations")
    assert dict(first.attributes or {}) == {
        "messaging.system": "aws_sqs",
        "messaging.destination.name": "integrations",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": handle.id,
        "celeriac.task": enqueued.name,
        "celeriac.attempt": 1,
        "celeriac.receives": 1,
        "celeriac.key_hash": key_hash(f"{enqueued.name}:{SECRET}"),
        "celeriac.outcome": "retried",
        "error.type": "ConnectionError",
    }
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)


def test_a_third_attempt_is_linked_to_the_second_and_to_the_first(spans: InMemorySpanExporter) -> None:
    @task(jobs, retry=Backoff(base=timedelta(minutes=1), attempts=3))
    def fail() -> None:
        raise ConnectionError

    with Sandbox(hooks=[opentelemetry(spans)]) as sandbox:
        fail.enqueue()
        sandbox.drain()
    first, second, third = by_kind(spans, SpanKind.CONSUMER)
    assert [link.context.span_id for link in third.links] == [context_of(second).span_id, context_of(first).span_id]


def test_a_fifo_retry_is_in_the_trace_without_a_link(spans: InMemorySpanExporter) -> None:
    with Sandbox(hooks=[opentelemetry(spans)]) as sandbox:
        book.options(group="g").enqueue()
        sandbox.drain()
    (made,), (first, second) = by_kind(spans, SpanKind.PRODUCER), by_kind(spans, SpanKind.CONSUMER)
    assert [span.parent and span.parent.span_id for span in (first, second)] == [context_of(made).span_id] * 2
    assert list(second.links) == []


def test_a_tasks_own_spans_and_messages_are_children_of_its_attempt(spans: InMemorySpanExporter) -> None:
    @task(jobs)
    def start() -> None:
        charge.enqueue(card="a")
        with celeriac.transaction() as tx:
            tx.emit("card.charged", {"card": "a"})

    with Sandbox(hooks=[opentelemetry(spans)]) as sandbox:
        start.enqueue()
        sandbox.drain()
    producers, consumers = by_kind(spans, SpanKind.PRODUCER), by_kind(spans, SpanKind.CONSUMER)
    names = {str((span.attributes or {})["celeriac.task"]): span for span in consumers}
    assert [span.name for span in producers] == ["create integrations", "create integrations", "create card.charged"]
    for span in producers[1:]:
        assert span.parent is not None
        assert span.parent.span_id == context_of(names["start"]).span_id
    assert names["thank"].parent is not None
    assert names["thank"].parent.span_id == context_of(producers[2]).span_id
    assert len({context_of(span).trace_id for span in (*producers, *consumers)}) == 1


def test_spans_have_no_payload_unless_error_texts_are_asked_for(spans: InMemorySpanExporter) -> None:
    with Sandbox(hooks=[opentelemetry(spans)]) as sandbox:
        charge.enqueue(card=SECRET, failures=1)
        sandbox.drain()
    assert SECRET not in "".join(span.to_json() for span in spans.get_finished_spans())
    spans.clear()
    with Sandbox(hooks=[opentelemetry(spans, error_texts=True)]) as sandbox:
        charge.enqueue(card=SECRET, failures=1)
        sandbox.drain()
    assert f"no answer for {SECRET}" in "".join(span.to_json() for span in spans.get_finished_spans())


def test_the_trace_of_another_producers_instrumentation_goes_on(spans: InMemorySpanExporter) -> None:
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "rojo=00f067aa"}
    with Sandbox(hooks=[opentelemetry(spans)]) as sandbox:
        sandbox.send(jobs, {"task": "charge", "args": {"card": "a", "failures": 1}}, attributes=trace)
        sandbox.drain()
    first, second = by_kind(spans, SpanKind.CONSUMER)
    for span in (first, second):
        assert span.parent is not None
        assert span.parent.span_id == 0xB7AD6B7169203331
        assert context_of(span).trace_state.get("rojo") == "00f067aa"


def test_a_strangers_trace_that_cannot_be_read_does_no_harm(spans: InMemorySpanExporter) -> None:
    headers = {"traceparent": "nonsense", "celeriac-last-attempt": "nonsense", "celeriac-first-attempt": ""}
    with Sandbox(hooks=[opentelemetry(spans)]) as sandbox:
        sandbox.send(jobs, {"v": 1, "task": "charge", "args": {"card": "a"}, "headers": headers})
        sandbox.drain()
    (span,) = by_kind(spans, SpanKind.CONSUMER)
    assert span.parent is None


def test_structlog_lines_of_a_task_name_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[Any] = []

    def keep(_: object, __: str, event: Any) -> Any:
        lines.append(dict(event))
        raise structlog.DropEvent

    @task(jobs, retry=TWICE)
    def speak(ctx: Context) -> None:
        log.info("hello", attempt_of_ctx=ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionError

    log = structlog.wrap_logger(None, processors=[structlog.contextvars.merge_contextvars, keep])
    with structlog.contextvars.bound_contextvars(task="outside"), Sandbox(hooks=[Structlog()]) as sandbox:
        handle = speak.enqueue()
        sandbox.drain()
        log.info("over")
    bound = {"event": "hello", "task": "speak", "queue": "integrations", "id": handle.id}
    assert lines == [
        bound | {"attempt": 1, "attempt_of_ctx": 1},
        bound | {"attempt": 2, "attempt_of_ctx": 2},
        {"event": "over", "task": "outside"},
    ]


@pytest.mark.parametrize(
    ("name", "missing", "package"),
    [
        ("sentry", "sentry_sdk", "sentry-sdk"),
        ("opentelemetry", "opentelemetry", "opentelemetry-api"),
        ("structlog", "structlog.contextvars", "structlog"),
    ],
)
def test_an_integration_without_its_package_says_how_to_install_it(
    name: str, missing: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"celeriac.integrations.{name}"
    monkeypatch.delitem(sys.modules, module)
    for loaded in [loaded for loaded in sys.modules if loaded == missing or loaded.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, loaded)

    class Nowhere:
        def find_spec(self, wanted: str, *_: object) -> None:
            if wanted == missing:
                raise ModuleNotFoundError(f"No module named {wanted!r}", name=wanted)

    monkeypatch.setattr(sys, "meta_path", [Nowhere(), *sys.meta_path])
    with pytest.raises(MissingPackageError, match=f"pip install '{package}'"):
        importlib.import_module(module)


def test_nobody_loads_the_tools_who_does_not_list_them() -> None:
    program = "import celeriac.entry.consumer, celeriac.entry.relay, sys; print(*sys.modules)"
    functions = Path(celeriac.__file__).parents[1]
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", program], cwd=functions, capture_output=True, text=True, check=True
        ).stdout.split()
    )
    assert not {"sentry_sdk", "opentelemetry", "structlog", "celeriac.integrations"} & loaded
