"""An SQS record as Lambda delivers it, reduced to the fields that the consumer needs."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from celeriac.aws.attributes import (
    DEATHS,
    FIRST_ID,
    UNTOUCHED,
    Attributes,
    first_sent_in,
    of_lambda,
    of_sender,
    text_in,
)
from celeriac.model.errors import CeleriacError
from celeriac.model.queue import Queue
from celeriac.observe.trace import checked

# The most characters of a message's id, see `celeriac.model.message`.
MOST_ID = 128


class SqsRecord(Struct, frozen=True):
    """One received message."""

    message_id: str
    receipt: str
    body: str
    queue_name: str
    """The physical name of the queue that the message came from."""
    sent_at: datetime
    receives: int
    """How often the message was received, this time included."""
    group: str | None
    first_sent_at: datetime
    """When the message was sent; if it is a copy, when the first message was sent."""
    first_id: str = ""
    """SQS's id of the message; if it is a copy, that of the first message."""
    deaths_alone: int | None = None
    """How many workers died while they ran only this message; None if the message isn't known to crash workers."""
    is_untouched: bool = False
    """Whether it is a copy of a message that only waited. Any sender may say so: a message of his that kills its worker
    is known by its receives then, as if it were new."""
    trace: str | None = None
    """The header of the X-Ray trace that the message belongs to."""
    attributes: Attributes = field(default_factory=dict)
    """The sender's message attributes."""

    @property
    def is_first_receive(self) -> bool:
        """Whether no worker has begun to run the message, nor one of which it is a copy: none can have died of it."""
        return self.receives == 1 and (self.first_id == self.message_id or self.is_untouched)


class UnknownQueueError(CeleriacError, LookupError):
    """An SQS record from a queue that `tasks/queues.py` doesn't declare."""


def read(raw: Mapping[str, Any]) -> SqsRecord:
    """Reduce Lambda's record (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html)."""
    attributes = raw.get("attributes", {})
    sent = attributes.get("SentTimestamp")
    sent_at = datetime.fromtimestamp(int(sent) / 1000, UTC) if sent else datetime.now(UTC)
    found = of_lambda(raw.get("messageAttributes", {}))
    return SqsRecord(
        message_id=raw["messageId"],
        receipt=raw.get("receiptHandle", ""),
        body=raw["body"],
        queue_name=raw["eventSourceARN"].rpartition(":")[2],
        sent_at=sent_at,
        receives=int(attributes.get("ApproximateReceiveCount", 1)),
        group=attributes.get("MessageGroupId"),
        # Any sender may write this date, so it can only make a message older, never younger.
        first_sent_at=min(first_sent_in(found, newer=False) or sent_at, sent_at),
        first_id=text_in(found, FIRST_ID)[:MOST_ID] or raw["messageId"],
        deaths_alone=_deaths_alone(found),
        is_untouched=UNTOUCHED in found,
        trace=checked(attributes.get("AWSTraceHeader")),
        attributes=of_sender(found),
    )


def within_retention(sqs_record: SqsRecord, queue: Queue) -> SqsRecord:
    """The SQS record, without a date of the first message that is older than SQS keeps messages.

    Such a message was moved to the dead-letter queue by SQS, and redriven with its attributes: it has its time again.
    """
    is_redriven = sqs_record.sent_at > sqs_record.first_sent_at + queue.retention
    return replace(sqs_record, first_sent_at=sqs_record.sent_at) if is_redriven else sqs_record


def of_newer(sqs_record: SqsRecord) -> SqsRecord:
    """The SQS record of a message that only a newer release can read, with what the first releases noted beside it.

    `read` can't know this, because the version is in the body, and a body may kill the worker that decodes it.
    """
    found = sqs_record.attributes
    noted = first_sent_in(found, newer=True) or sqs_record.first_sent_at
    return replace(
        sqs_record,
        first_sent_at=min(noted, sqs_record.first_sent_at),
        attributes=of_sender(found, newer=True),
    )


def _deaths_alone(found: Attributes) -> int | None:
    """Return the deaths that a copy brings along. Any sender may write the number; it harms only its own message."""
    written = text_in(found, DEATHS)
    return int(written) if re.fullmatch(r"[0-9]", written) else None


def queue_of(sqs_record: SqsRecord, queues: Mapping[str, Queue], stage: str) -> Queue:
    """Return the declared queue that an SQS record came from. Raises UnknownQueueError."""
    for queue in queues.values():
        if queue.physical_name(stage) == sqs_record.queue_name:
            return queue
    raise UnknownQueueError(f"this consumer of stage {stage} knows no queue {sqs_record.queue_name}")
