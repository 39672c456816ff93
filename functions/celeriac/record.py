"""An SQS record as Lambda hands it over, reduced to what the consumer needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celeriac.queue import Queue
from celeriac.trace import checked

# A message attribute, on messages that this release can't read and sends again as they are.
FIRST_SENT_AT = "first_sent_at"


@dataclass(frozen=True, slots=True)
class Record:
    """One received message."""

    message_id: str
    receipt_handle: str
    body: str
    queue_name: str
    """The physical name of the queue it came from."""
    sent_at: datetime
    receives: int
    """How often it was received, this time included."""
    group: str | None
    first_sent_at: datetime
    """When it, or the first of those it is a copy of, was sent."""
    trace: str | None = None
    """The header of the X-Ray trace that it belongs to."""


class UnknownQueue(LookupError):  # noqa: N818 - it is what it is
    """A record from a queue that `tasks/queues.py` doesn't declare."""


def read(raw: Mapping[str, Any]) -> Record:
    """Reduce Lambda's record (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html)."""
    attributes = raw.get("attributes", {})
    sent = attributes.get("SentTimestamp")
    sent_at = datetime.fromtimestamp(int(sent) / 1000, UTC) if sent else datetime.now(UTC)
    first = raw.get("messageAttributes", {}).get(FIRST_SENT_AT, {}).get("stringValue")
    return Record(
        message_id=raw["messageId"],
        receipt_handle=raw.get("receiptHandle", ""),
        body=raw["body"],
        queue_name=raw["eventSourceARN"].rpartition(":")[2],
        sent_at=sent_at,
        receives=int(attributes.get("ApproximateReceiveCount", 1)),
        group=attributes.get("MessageGroupId"),
        first_sent_at=datetime.fromisoformat(first) if first else sent_at,
        trace=checked(attributes.get("AWSTraceHeader")),
    )


def queue_of(record: Record, queues: Mapping[str, Queue], stage: str) -> Queue:
    """The declared queue that a record came from. Raises UnknownQueue."""
    for queue in queues.values():
        if queue.physical_name(stage) == record.queue_name:
            return queue
    raise UnknownQueue(f"this consumer of stage {stage} knows no queue {record.queue_name}")
