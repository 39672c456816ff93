"""Fresh copies of messages that wait: a copy has no receives yet, and SQS keeps it for another retention.

The copy brings along when the first message was sent, SQS's id of it, and how many workers have died of it. So a copy
is no younger than the first message, and what it has done isn't forgotten.
"""

from datetime import UTC, datetime, timedelta
from math import ceil

from msgspec.structs import replace

from celeriac.aws import sqs
from celeriac.aws.attributes import DEATHS, FIRST_ID, FIRST_SENT_AT, UNTOUCHED, beside, text
from celeriac.consume.sqs_record import SqsRecord
from celeriac.enqueue.send import Parcel, entry
from celeriac.model.message import Message
from celeriac.model.queue import MAX_DELAY, MAX_MESSAGE_BYTES, Queue


def is_worn(sqs_record: SqsRecord, queue: Queue) -> bool:
    """Whether a message has used up half of its receives, or half of the time for which SQS keeps it.

    False on a FIFO queue, where a copy would lose its place.
    """
    age = datetime.now(UTC) - sqs_record.sent_at
    return not queue.fifo and (2 * sqs_record.receives >= queue.receive_limit or 2 * age > queue.retention)


def copy_of(sqs_record: SqsRecord, queue: Queue, message: Message | None, delay: timedelta) -> sqs.Entry | None:
    """The entry of a copy that SQS delivers after `delay`, at most 15 minutes. None if SQS has no room for it.

    `message` is the SQS record's message, None if its body is to be sent byte for byte.
    """
    delay = min(max(delay, timedelta()), MAX_DELAY)
    if message is not None:
        bare = entry(Parcel(queue, message, delay, sqs_record.group))
    else:
        bare = sqs.Entry(sqs_record.body, delay_seconds=ceil(delay.total_seconds()), group=sqs_record.group)
    ours = text(FIRST_SENT_AT, sqs_record.first_sent_at.isoformat()) | text(FIRST_ID, sqs_record.first_id)
    if sqs_record.deaths_alone is not None:
        ours |= text(DEATHS, str(sqs_record.deaths_alone))
    if message is not None and message.waits_for and sqs_record.is_first_receive:
        ours |= text(UNTOUCHED, "1")
    copy = replace(bare, attributes=beside(sqs_record.attributes, ours))
    return copy if copy.size <= MAX_MESSAGE_BYTES else None
