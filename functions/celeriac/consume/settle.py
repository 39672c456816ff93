"""Carries out an outcome. Every path sends first and then records; the message is acknowledged last."""

import dataclasses
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import assert_never

import msgspec

from celeriac.aws import sqs
from celeriac.aws.attributes import FIRST_SENT_AT, Attributes, beside, ours_in, text
from celeriac.aws.client import error_code
from celeriac.consume.outcome import Dead, HandedBack, Outcome, Postponed, Retried, RunAlone, Skipped, Succeeded
from celeriac.consume.sqs_record import SqsRecord
from celeriac.dead_letters.dead_letter import unreadable
from celeriac.enqueue.send import Parcel, entry, fitted, send
from celeriac.leases.store import LeaseLostError
from celeriac.model import settings
from celeriac.model.queue import MAX_DELAY, MAX_MESSAGE_BYTES, Queue

# After this many receives a hand-back sends a fresh copy: fewer than make a message suspect (TIRED), and far fewer than
# any maxReceiveCount.
FRESH_AFTER = 3


@dataclass(frozen=True, slots=True)
class Settled:
    """What is left to do with a message: acknowledge it, or let SQS deliver it again.

    Without `again_at`, SQS delivers it after its visibility timeout.
    """

    acknowledged: bool
    again_at: datetime | None = None


def settle(outcome: Outcome, record: SqsRecord, queue: Queue) -> Settled:
    """Send what `outcome` asks for, then record it. Raises what AWS raises: the message then isn't acknowledged."""
    match outcome:
        case Succeeded() | Skipped():
            return Settled(acknowledged=True)
        case Retried():
            return _retry(outcome, record, queue)
        case Dead():
            send_dead_letter(outcome, record, queue)
            return Settled(acknowledged=True)
        case Postponed():
            return _postpone(outcome, record, queue)
        case HandedBack():
            return _hand_back(outcome, record, queue)
        case RunAlone():
            return Settled(acknowledged=False)
        case _:
            assert_never(outcome)


def _retry(retried: Retried, record: SqsRecord, queue: Queue) -> Settled:
    # On a FIFO queue the message stays in the queue: a successor would lose its place.
    if not queue.fifo:
        send(Parcel(queue, retried.successor, retried.delay, record.group))
    if retried.lease is not None and retried.failure is not None:
        try:
            due = datetime.now(UTC) + retried.delay
            retried.lease.retrying(retried.failure, due, charged=retried.charged)
        except LeaseLostError:
            # An extra successor does no harm: the record of the worker that took over makes it a duplicate.
            return Settled(acknowledged=False)
    return Settled(not queue.fifo, datetime.now(UTC) + retried.delay if queue.fifo else None)


def _hand_back(handed_back: HandedBack, record: SqsRecord, queue: Queue) -> Settled:
    """Usually SQS delivers the same message again. Before hand-backs use up its receives, a fresh copy replaces it."""
    if queue.fifo or record.receives < FRESH_AFTER or handed_back.message is None:
        return Settled(acknowledged=False, again_at=handed_back.until)
    wait = max((handed_back.until or datetime.now(UTC)) - datetime.now(UTC), timedelta())
    send(Parcel(queue, handed_back.message, min(wait, MAX_DELAY), record.group))
    return Settled(acknowledged=True)


def _postpone(postponed: Postponed, record: SqsRecord, queue: Queue) -> Settled:
    again = Settled(acknowledged=False, again_at=datetime.now(UTC) + postponed.delay)
    if queue.fifo:
        return again
    if postponed.message is not None:
        copy = entry(Parcel(queue, postponed.message, postponed.delay, record.group))
        _send(record.queue_name, _with(copy, record.attributes))
        return Settled(acknowledged=True)
    copy = sqs.Entry(
        record.body,
        delay_seconds=ceil(postponed.delay.total_seconds()),
        group=record.group,
        attributes=beside(record.attributes, text(FIRST_SENT_AT, record.first_sent_at.isoformat())),
    )
    if copy.size > MAX_MESSAGE_BYTES:
        return again
    _send(record.queue_name, copy)
    return Settled(acknowledged=True)


def send_dead_letter(dead: Dead, record: SqsRecord, queue: Queue) -> None:
    """Send a dead letter to the queue's own dead-letter queue, then record it."""
    name = queue.dead_letter_name(settings.stage())
    group = (record.group or record.message_id) if queue.fifo else record.group
    # Each dead letter needs its own deduplication id. Otherwise SQS could drop it as a copy of an earlier letter of
    # this message. The record no longer knows that earlier letter, so it could not be redriven.
    deduplication = f"{record.message_id}-{dead.failure.request_id}" if queue.fifo else None
    if dead.message is not None:
        letter = msgspec.structs.replace(dead.message, failure=dead.failure)
        # The arguments stay in the body if SQS can carry them: people read dead letters in AWS's console too.
        body = fitted(name, letter, MAX_MESSAGE_BYTES)
        _send(name, _with(sqs.Entry(body, group=group, deduplication=deduplication), record.attributes))
    else:
        came = sqs.Entry(record.body, group=group, deduplication=deduplication, attributes=dict(record.attributes))
        _send(name, unreadable(came, dead.failure, queue_name=record.queue_name, message_id=record.message_id))
    if dead.lease is not None:
        # If another worker has taken over, or a commit was carried out after all, this letter is superfluous.
        with suppress(LeaseLostError):
            dead.lease.dead(dead.failure)


def _send(name: str, made: sqs.Entry) -> None:
    """Send an entry. If SQS refuses it, send it again without the sender's attributes: they must not stop a message."""
    try:
        sqs.send(name, made)
    except Exception as error:
        bare = dataclasses.replace(made, attributes=ours_in(made.attributes))
        if error_code(error).rpartition(".")[2] not in sqs.FINAL or bare == made:
            raise
        sqs.send(name, bare)


def _with(made: sqs.Entry, attributes: Attributes) -> sqs.Entry:
    """The entry with the sender's attributes, if there is room: no task reads them, but a person may want to."""
    full = dataclasses.replace(made, attributes=beside(attributes, {}))
    return full if full.size <= MAX_MESSAGE_BYTES else made
