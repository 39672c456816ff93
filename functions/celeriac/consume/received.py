"""A message as SQS delivered it to a worker, and the failure that its dead letter carries."""

from datetime import UTC, datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from celeriac.aws.attributes import Attributes
from celeriac.consume.facts import Facts, Follows
from celeriac.consume.sqs_record import SqsRecord
from celeriac.flow.unique import Mine
from celeriac.leases.held import Held
from celeriac.leases.watch import Watch
from celeriac.model import headers, notice
from celeriac.model.failure import Failure, error_message, error_traceback, error_type
from celeriac.model.message import Message, decode
from celeriac.model.queue import MAX_DELAY, Queue

# https://www.w3.org/TR/trace-context/ and https://www.w3.org/TR/baggage/
TRACE_ATTRIBUTES = ("traceparent", "tracestate", "baggage")


# No message is a century old: a larger number is no time.
MOST_SECONDS = 100 * 365 * 24 * 60 * 60


class Worker(Struct):
    """The invocation that runs a message."""

    function: str
    request_id: str
    deadline: datetime
    """When Lambda will stop the worker, or when the worker gives up what runs."""
    margin: timedelta
    """Time kept at the end to record, send and log."""
    has_started: bool = False
    """Whether a task of this invocation that had its turn was claimed, or is about to run without a claim."""
    has_called: bool = False
    """Whether it has called a task's function."""
    keys: dict[str, str] = field(default_factory=dict)
    """The idempotency keys of this invocation, each with the SQS id of its first message."""

    watch: Watch = field(default_factory=Watch)
    """The runs of this invocation that may be cancelled."""
    held: Held | None = None
    """The leases that are renewed. None in Lambda: a lease lasts to the deadline."""

    @property
    def left(self) -> timedelta:
        """How long a task may still run."""
        ends_at = self.deadline - self.margin
        if notice.bodies_end_at is not None:
            ends_at = min(ends_at, notice.bodies_end_at)
        return ends_at - datetime.now(UTC)

    @property
    def lease_until(self) -> datetime:
        """Until when a lease lasts that begins now."""
        return self.held.until if self.held is not None else self.deadline


class Received(Struct):
    """A message, its queue, and the worker that is to run it."""

    sqs_record: SqsRecord
    """Replaced once it is known that only a newer release can read the message."""
    queue: Queue
    worker: Worker
    alone: bool
    """Whether no other message runs in this worker now, and no finished one waits for its acknowledgement."""
    facts: Facts = field(default_factory=Facts)
    unique: Mine | None = None
    """What the message is to the item of its `Unique`, as long as it may hold it."""
    follows: Follows | None = None
    """What is known for what follows the message; None if nothing follows it."""
    is_last_at: datetime | None = None
    """When the item of its `Debounce` was asked whether newer arguments have come: none had."""

    @property
    def must_end_by(self) -> datetime:
        """When a message that can't run, or waits on a FIFO queue, must be a dead letter at the latest.

        SQS deletes a FIFO message a visibility timeout later, and the messages behind it in its group soon after. The
        timeout is left for those. On a standard queue, fresh copies may outlive the first message; none waits longer.
        """
        if self.queue.fifo:
            return self.sqs_record.sent_at + self.queue.retention - self.queue.longest_delivery
        since = self.sqs_record.first_sent_at + self.facts.waited
        return since + self.queue.retention - self.queue.longest_delivery


def as_it_came(sqs_record: SqsRecord) -> Message:
    """The message of an SQS record. One written by hand gets a missing id and date from SQS.

    Raises what `decode` raises.
    """
    message = decode(sqs_record.body)
    # SQS's id and date stay with the message from here on. A sender's date is a hint. One that is later than the send
    # is replaced: with such a date the message would never be old.
    return replace(
        message,
        id=message.id or sqs_record.first_id,
        enqueued_at=min(_zoned(message.enqueued_at or sqs_record.first_sent_at), sqs_record.sent_at),
        due_at=min(_zoned(message.due_at), sqs_record.sent_at + MAX_DELAY) if message.due_at is not None else None,
        expires_at=_zoned(message.expires_at) if message.expires_at is not None else None,
        waits_since=min(_zoned(message.waits_since), sqs_record.sent_at) if message.waits_since is not None else None,
        headers=_with_trace(message.headers, sqs_record.attributes),
    )


def _with_trace(of_body: dict[str, str] | None, attributes: Attributes) -> dict[str, str] | None:
    """The headers, with the trace that another producer's instrumentation wrote into the message's attributes.

    A retry doesn't have the sender's attributes. As headers they stay with the message.
    """
    if not attributes:
        return of_body
    noted = {name: attributes[name].get("StringValue") for name in TRACE_ATTRIBUTES if name in attributes}
    # The body's own headers come first: a long `baggage` beside them must push none of them out.
    own = of_body or {}
    return headers.kept(own | {name: value for name, value in noted.items() if name not in own}) or None


def _zoned(written: datetime) -> datetime:
    """A date with a time zone. A date written by hand may lack its zone: it is taken as UTC, as everywhere in AWS."""
    return written if written.tzinfo is not None else written.replace(tzinfo=UTC)


def waited(message: Message, sqs_record: SqsRecord) -> timedelta:
    """How long a message has waited for limits, by its own word, but not longer than it is old."""
    now = datetime.now(UTC)
    last = now - sqs_record.sent_at if message.waits_for else timedelta()
    oldest = min(message.enqueued_at or sqs_record.first_sent_at, sqs_record.first_sent_at)
    return min(timedelta(seconds=min(message.waited, MOST_SECONDS)) + last, max(now - oldest, timedelta()))


def overdue(message: Message, received: Received) -> timedelta:
    """How long ago the first attempt was due. A sender's delay doesn't count, nor does waiting for limits."""
    due_at = message.due_at or message.enqueued_at
    return datetime.now(UTC) - due_at - received.facts.waited if due_at is not None else timedelta()


def failure(reason: str, error: BaseException, origin: Message | SqsRecord, received: Received) -> Failure:
    """The failure that a dead letter carries. `origin` is the SQS record if the body can't be read."""
    return Failure(
        reason=reason,
        type=error_type(error),
        message=error_message(error),
        traceback=error_traceback(error),
        attempts=origin.attempt if isinstance(origin, Message) else 0,
        first_at=origin.enqueued_at if isinstance(origin, Message) else origin.first_sent_at,
        last_at=datetime.now(UTC),
        function=received.worker.function,
        request_id=received.worker.request_id,
    )
