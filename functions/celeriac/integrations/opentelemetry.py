"""OpenTelemetry: a span for each message that is made, and one for each attempt, in one trace.

The names follow OpenTelemetry's conventions for messaging: https://opentelemetry.io/docs/specs/semconv/messaging/
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import Any

from celeriac.hooks import broken
from celeriac.hooks.events import AfterOutcome, AroundTask, BeforeEnqueue
from celeriac.hooks.hook import Hooks
from celeriac.integrations.needed import MissingPackageError
from celeriac.model.failure import error_message, error_place
from celeriac.model.version import VERSION
from celeriac.observe.text import key_hash

try:
    from opentelemetry import context, propagate, trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as error:
    raise MissingPackageError("opentelemetry", "opentelemetry-api") from error

FIRST_ATTEMPT = "celeriac-first-attempt"
"""The header with the span of the message's first attempt, in the form of a `traceparent`."""
LAST_ATTEMPT = "celeriac-last-attempt"
"""The header with the span of the attempt before."""
_NOTE = "celeriac.integrations.opentelemetry"
_TRACEPARENT = "traceparent"
_w3c = TraceContextTextMapPropagator()


class OpenTelemetry(Hooks):
    """Makes a producer span for each message, and a consumer span for each attempt. Set up your SDK before.

    The producer's context travels in the message's headers, by the propagators that you have set: by default W3C's, as
    `traceparent`, `tracestate` and `baggage`. A `traceparent` that another producer's instrumentation wrote into the
    message attributes is followed too. An attempt is a child of the producer's span. A retry is linked to the attempt
    before it and to the first one; on a FIFO queue it is not, because the same message comes again.

    tracer_provider: the one to use, by default the global one.
    error_texts: whether spans have the errors' texts. A text may quote the payload.
    flush: how long each attempt may wait until its spans are exported. Lambda stops the worker after its answer, and
    with it what isn't exported yet. None if something else flushes, such as OpenTelemetry's layer for Lambda.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        error_texts: bool = False,
        flush: timedelta | None = timedelta(seconds=1),
    ) -> None:
        self._provider, self._error_texts, self._flush = tracer_provider, error_texts, flush
        self._tracer = trace.get_tracer("celeriac", VERSION, tracer_provider)
        self._flushing: Thread | None = None

    def before_enqueue(self, event: BeforeEnqueue) -> None:
        """Make the message's own span, and put its context into the headers.

        The span ends before the call to AWS: one call may send ten messages. Instrument botocore for a span of it.
        """
        where = event.queue or event.event
        attributes = _attributes("create", where, event.id, event.key) | {"celeriac.task": event.task}
        if event.event:
            attributes["celeriac.event"] = event.event
        with self._tracer.start_as_current_span(
            f"create {where}", kind=trace.SpanKind.PRODUCER, attributes={k: v for k, v in attributes.items() if v != ""}
        ):
            propagate.inject(event.headers)

    @contextmanager
    def around_task(self, event: AroundTask) -> Iterator[None]:
        """Run the attempt in a span. `after_outcome` ends it."""
        parent = propagate.extract(event.headers, context.Context())
        span = self._tracer.start_span(
            f"process {event.queue}",
            parent,
            trace.SpanKind.CONSUMER,
            _attributes("process", event.queue, event.id, event.key)
            | {"celeriac.task": event.task, "celeriac.attempt": event.attempt, "celeriac.receives": event.receives},
            links=list(_links(event)),
        )
        event.notes[_NOTE] = span
        own = _traceparent(span)
        event.carry(LAST_ATTEMPT, own)
        if FIRST_ATTEMPT not in event.headers:
            event.carry(FIRST_ATTEMPT, own)
        token = context.attach(trace.set_span_in_context(span, parent))
        try:
            yield
        finally:
            context.detach(token)

    def after_outcome(self, event: AfterOutcome) -> None:
        """End the attempt's span, with its outcome."""
        span: trace.Span | None = event.notes.pop(_NOTE, None)
        if span is None:
            return
        span.set_attribute("celeriac.outcome", event.outcome)
        if event.reason:
            span.set_attribute("celeriac.reason", event.reason)
        if event.error is not None:
            self._record(span, event.error, event.error_type or type(event.error).__qualname__)
        span.end()
        flush = getattr(self._provider or trace.get_tracer_provider(), "force_flush", None)
        if self._flush is not None and flush is not None:
            self._wait_for(flush, self._flush.total_seconds())

    def _wait_for(self, flush: Callable[[int], object], seconds: float) -> None:
        """Export in a thread, because the SDK's batch processor doesn't keep the time limit that it is given.

        While its collector doesn't answer, one export waits, and each attempt waits no longer than it may.
        """

        def export() -> None:
            try:
                flush(int(seconds * 1000))
            except Exception as error:  # noqa: BLE001 - whatever an exporter raises, the attempt has ended
                broken.report(self, "after_outcome", error)

        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            before = self._flushing
            if before is None or not before.is_alive():
                self._flushing = mine = Thread(target=export, name="export of spans", daemon=True)
                mine.start()
                mine.join(left)
                return
            before.join(left)  # it may have begun without the span that has ended just now

    def _record(self, span: trace.Span, error: BaseException, name: str) -> None:
        """Note an error. `span.record_exception` would note its text and its traceback."""
        text = error_message(error) if self._error_texts else ""
        noted = {"exception.type": name, "code.location": error_place(error)}
        span.add_event("exception", noted | ({"exception.message": text} if text else {}))
        span.set_attribute("error.type", name)
        span.set_status(trace.Status(trace.StatusCode.ERROR, text or name))


def _attributes(operation: str, where: str, message_id: str, key: str) -> dict[str, Any]:
    return {
        "messaging.system": "aws_sqs",
        "messaging.destination.name": where,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.message.id": message_id,
        "celeriac.key_hash": key_hash(key) if key else "",
    }


def _links(event: AroundTask) -> Iterator[trace.Link]:
    for name in dict.fromkeys(event.headers.get(header) for header in (LAST_ATTEMPT, FIRST_ATTEMPT)):
        if name is not None:
            noted = trace.get_current_span(_w3c.extract({_TRACEPARENT: name}, context.Context()))
            if noted.get_span_context().is_valid:
                yield trace.Link(noted.get_span_context())


def _traceparent(span: trace.Span) -> str:
    noted = span.get_span_context()
    return f"00-{noted.trace_id:032x}-{noted.span_id:016x}-{noted.trace_flags:02x}"
