"""Carrying an outcome out. Every path sends first; the acknowledgement is what Lambda does with our answer."""

from datetime import UTC, datetime
from math import ceil
from typing import assert_never

import msgspec

from celeriac import payloads, settings, sqs
from celeriac.aws import client
from celeriac.deliver import Parcel, deliver, fitted
from celeriac.failure import Failure
from celeriac.outcome import Dead, Duplicate, HandedBack, Outcome, Retried, Succeeded
from celeriac.queue import MAX_MESSAGE_BYTES, Queue
from celeriac.record import Record

# An SQS message attribute, on dead letters whose body is not ours to change.
FAILURE_ATTRIBUTE = "failure"


def settle(outcome: Outcome, record: Record, queue: Queue) -> bool:
    """Do what `outcome` asks for. True: acknowledge the message. False: SQS is to deliver it again."""
    match outcome:
        case Succeeded() | Duplicate():
            return True
        case Retried() if queue.fifo:
            # On a FIFO queue the message stays: a successor would lose its place.
            _deliver_again(record, ceil(outcome.delay.total_seconds()))
            return False
        case Retried():
            deliver(Parcel(queue, outcome.successor, outcome.delay, record.group))
            return True
        case Dead():
            _bury(outcome, record, queue)
            return True
        case HandedBack():
            if outcome.until is not None:
                _deliver_again(record, ceil((outcome.until - datetime.now(UTC)).total_seconds()))
            return False
        case _:
            assert_never(outcome)


def _deliver_again(record: Record, seconds: int) -> None:
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
    client("sqs").change_message_visibility(
        QueueUrl=sqs.url(record.queue_name),
        ReceiptHandle=record.receipt_handle,
        VisibilityTimeout=min(max(seconds, 0), 43_200),
    )


def _bury(dead: Dead, record: Record, queue: Queue) -> None:
    name = queue.dead_letter_name(settings.stage())
    group = (record.group or record.message_id) if queue.fifo else record.group
    deduplication = record.message_id if queue.fifo else None
    if dead.message is not None:
        letter = msgspec.structs.replace(dead.message, failure=dead.failure)
        # Whole, where SQS can carry it: people read dead letters in AWS's console too.
        body = fitted(name, letter, MAX_MESSAGE_BYTES)
        sqs.send(name, sqs.Entry(body, group=group, deduplication=deduplication))
    else:
        sqs.send(name, _untouched(record, dead.failure, group, deduplication))


def _untouched(record: Record, failure: Failure, group: str | None, deduplication: str | None) -> sqs.Entry:
    """A body that couldn't be read goes byte for byte, its failure beside it; through S3 if both don't fit."""
    attribute = {FAILURE_ATTRIBUTE: {"DataType": "String", "StringValue": msgspec.json.encode(failure).decode()}}
    entry = sqs.Entry(record.body, group=group, deduplication=deduplication, attributes=attribute)  # type: ignore[arg-type]  # a TypedDict literal
    if entry.size <= MAX_MESSAGE_BYTES:
        return entry
    key = f"bodies/{record.message_id}"
    payloads.store(record.queue_name, key, record.body.encode())
    stored = msgspec.json.encode({"stored_body": key}).decode()
    return sqs.Entry(stored, group=group, deduplication=deduplication, attributes=attribute)  # type: ignore[arg-type]  # a TypedDict literal
