"""Carries out an outcome. Every path sends first and then records; the message is acknowledged last."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

import msgspec
from msgspec import Struct

from celeriac.aws import sqs
from celeriac.aws.attributes import Attributes, beside, ours_in
from celeriac.aws.client import error_code
from celeriac.consume import holding
from celeriac.consume.copies import copy_of, is_worn
from celeriac.consume.insist import while_there_is_time
from celeriac.consume.outcome import (
    Dead,
    Gathered,
    HandedBack,
    Outcome,
    Postponed,
    Retried,
    Skipped,
    Succeeded,
    Waiting,
)
from celeriac.consume.received import Received, Worker
from celeriac.consume.sqs_record import SqsRecord
from celeriac.dead_letters.dead_letter import unreadable
from celeriac.enqueue.send import Parcel, fitted, send
from celeriac.flow import wait_note
from celeriac.leases.lease import Lease, Unsent
from celeriac.leases.store import LeaseLostError
from celeriac.model import settings
from celeriac.model.failure import Failure, error_type
from celeriac.model.message import Message
from celeriac.model.queue import MAX_MESSAGE_BYTES, Queue
from celeriac.model.reason import Reason
from celeriac.observe.log import logger

NEWCOMER: Any = {"slots": None, "waits_for": "", "waited": 0, "throttled": 0}
"""A redriven letter stands at the end of the line, and its waits count anew."""


class Settled(Struct, frozen=True):
    """What is left to do with a message: acknowledge it, or let SQS deliver it again.

    Without `again_at`, SQS delivers it after its visibility timeout.
    """

    acknowledged: bool
    again_at: datetime | None = None
    copy: sqs.Entry | None = None
    """A fresh copy that takes the message's place: it is acknowledged once that is sent, together with others."""


def settle(outcome: Outcome, received: Received) -> Settled:
    """Send what `outcome` asks for, then record it. Raises what AWS raises: the message then isn't acknowledged."""
    sqs_record, queue = received.sqs_record, received.queue
    match outcome:
        case Skipped(why="expired") if received.unique is not None:
            holding.before_letter(received.unique, None, Reason.EXPIRED, received)
            return Settled(acknowledged=True)
        case Succeeded() | Skipped():
            if received.unique is not None:
                holding.free(received)
            return Settled(acknowledged=True)
        case Retried():
            return _retry(outcome, received)
        case Dead():
            return _dead_letter(outcome, received)
        case Postponed():
            return _postpone(outcome, sqs_record, queue)
        case Waiting():
            return _wait(outcome, sqs_record, queue)
        case Gathered():
            return _gather(outcome, sqs_record, queue)
        case HandedBack():
            return _hand_back(outcome, sqs_record, queue)
        case _:
            assert_never(outcome)


def _retry(retried: Retried, received: Received) -> Settled:
    queue, lease, failure = received.queue, retried.lease, retried.failure
    if received.unique is not None:
        holding.extend(received, retried.delay)
    due = datetime.now(UTC) + retried.delay
    # On a FIFO queue the message stays in the queue: a successor would lose its place.
    if not queue.fifo:
        with _noted(lease, "retry" if retried.charged else "uncharged", failure, due, received.worker):
            send(Parcel(queue, retried.successor, retried.delay, received.sqs_record.group))
    if lease is None or failure is None:
        return Settled(not queue.fifo, due if queue.fifo else None)
    try:
        while_there_is_time(
            lambda: lease.retrying(failure, due, charged=retried.charged, continues=retried.continues), received.worker
        )
    except LeaseLostError:
        # An extra successor does no harm: the record of the worker that took over makes it a duplicate.
        return Settled(acknowledged=False)
    except Exception as error:
        if queue.fifo:
            raise  # only the record tells that the run has ended
        # The successor tells that the run has ended, see `celeriac.leases.lease`.
        logger.warning("retry not recorded", extra={"error": error_type(error)})
    return Settled(not queue.fifo, due if queue.fifo else None)


@contextmanager
def _noted(
    lease: Lease | None, unsent: Unsent, failure: Failure | None, due: datetime, worker: Worker
) -> Iterator[None]:
    """If the block can't send, record what it would have sent: the task must not run again for it."""
    try:
        yield
    except Exception:
        if lease is not None and failure is not None:
            try:
                while_there_is_time(lambda: lease.note_unsent(unsent, failure, due), worker)
            except Exception as error:  # noqa: BLE001 - the error of the block says more
                logger.warning("end of the run not noted", extra={"error": error_type(error)})
        raise


def _hand_back(handed_back: HandedBack, sqs_record: SqsRecord, queue: Queue) -> Settled:
    """Usually SQS delivers the same message again. Before hand-backs wear it out, a fresh copy replaces it."""
    again = Settled(acknowledged=False, again_at=handed_back.until)
    if not is_worn(sqs_record, queue):
        return again
    delay = (handed_back.until or datetime.now(UTC)) - datetime.now(UTC)
    return _replaced(sqs_record, queue, handed_back.message, delay) or again


def _postpone(postponed: Postponed, sqs_record: SqsRecord, queue: Queue) -> Settled:
    again = Settled(acknowledged=False, again_at=datetime.now(UTC) + postponed.delay)
    if queue.fifo:
        return again
    return _replaced(sqs_record, queue, postponed.message, postponed.delay) or again


def _wait(waiting: Waiting, sqs_record: SqsRecord, queue: Queue) -> Settled:
    again_at = datetime.now(UTC) + waiting.delay
    if queue.fifo:
        wait_note.write(queue.name, sqs_record.message_id, waiting.message, until=again_at)
        return Settled(acknowledged=False, again_at=again_at)
    return Settled(
        acknowledged=False, again_at=again_at, copy=copy_of(sqs_record, queue, waiting.message, waiting.delay)
    )


def _gather(gathered: Gathered, sqs_record: SqsRecord, queue: Queue) -> Settled:
    # At once, not with others at the end of the invocation: until then a task beside it may run for minutes.
    if gathered.tick is not None:
        send(Parcel(queue, gathered.tick, gathered.delay, sqs_record.group))
    return Settled(acknowledged=True)


def _replaced(sqs_record: SqsRecord, queue: Queue, message: Message | None, delay: timedelta) -> Settled | None:
    """Send a fresh copy in place of the message; None if SQS has no room for it."""
    copy = copy_of(sqs_record, queue, message, delay)
    if copy is None:
        return None
    _send(sqs_record.queue_name, copy)
    return Settled(acknowledged=True)


def _dead_letter(dead: Dead, received: Received) -> Settled:
    """Send a dead letter to the queue's own dead-letter queue, then record it."""
    sqs_record, queue, lease = received.sqs_record, received.queue, dead.lease
    name = queue.dead_letter_name(settings.stage())
    group = (sqs_record.group or sqs_record.message_id) if queue.fifo else sqs_record.group
    # Each dead letter needs its own deduplication id. Otherwise SQS could drop it as a copy of an earlier letter of
    # this message. The record no longer knows that earlier letter, so it could not be redriven.
    deduplication = f"{sqs_record.message_id}-{dead.failure.request_id}" if queue.fifo else None
    if received.unique is not None:
        holding.before_letter(received.unique, lease, dead.failure.reason, received)
    with _noted(lease, "dead", dead.failure, datetime.now(UTC), received.worker):
        if dead.message is not None:
            letter = msgspec.structs.replace(dead.message, failure=dead.failure, **NEWCOMER)
            # The arguments stay in the body if SQS can carry them: people read dead letters in AWS's console too.
            body = fitted(name, letter, MAX_MESSAGE_BYTES)
            _send(name, _with(sqs.Entry(body, group=group, deduplication=deduplication), sqs_record.attributes))
        else:
            came = sqs.Entry(
                sqs_record.body, group=group, deduplication=deduplication, attributes=dict(sqs_record.attributes)
            )
            _send(name, unreadable(came, dead.failure, queue_name=sqs_record.queue_name))
    if lease is not None:
        try:
            while_there_is_time(lambda: lease.dead(dead.failure), received.worker)
        except LeaseLostError:
            # This letter is superfluous, and the message belongs to the worker that has taken over: it may have handed
            # the message back. Or a commit was carried out after all, and then the message is a duplicate.
            return Settled(acknowledged=False)
        except Exception as error:  # noqa: BLE001 - the letter is sent: another run would send another one
            logger.warning("dead letter not recorded", extra={"error": error_type(error)})
            if received.unique is not None:
                holding.free_if_possible(received)
    if received.unique is not None:
        holding.free(received)
    return Settled(acknowledged=True)


def _send(name: str, made: sqs.Entry) -> None:
    """Send an entry. If SQS refuses it, send it again without the sender's attributes: they must not stop a message."""
    try:
        sqs.send(name, made)
    except Exception as error:
        bare = msgspec.structs.replace(made, attributes=ours_in(made.attributes))
        if error_code(error).rpartition(".")[2] not in sqs.FINAL or bare == made:
            raise
        sqs.send(name, bare)


def _with(made: sqs.Entry, attributes: Attributes) -> sqs.Entry:
    """The entry with the sender's attributes, if there is room: no task reads them, but a person may want to."""
    full = msgspec.structs.replace(made, attributes=beside(attributes, {}))
    return full if full.size <= MAX_MESSAGE_BYTES else made
