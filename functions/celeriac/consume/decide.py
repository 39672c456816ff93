"""After a failed attempt: another one, or a dead letter."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from celeriac.consume.admission import waits
from celeriac.consume.outcome import Dead, Outcome, Retried
from celeriac.consume.received import Received, failure, overdue
from celeriac.declare.task import Task
from celeriac.execute.call import CutOffError, TaskTimeoutError, WorkerLost
from celeriac.leases import lease
from celeriac.model import notice
from celeriac.model.continuing import CONTINUES, MOST_PARTS, NoProgressError, TooManyPartsError, goes_on
from celeriac.model.failure import Failure, error_place, error_type
from celeriac.model.message import Message
from celeriac.model.reason import Reason
from celeriac.model.retry import (
    ASKED_TO_WAIT,
    MOST_THROTTLED,
    SHORTEST_UNCHARGED,
    Again,
    Backoff,
    Decision,
    GiveUp,
    Retry,
    Throttled,
    later,
)
from celeriac.observe.log import logger


def failed(
    task: Task[..., Any, Any], message: Message, error: BaseException, held: lease.Lease | None, received: Received
) -> Outcome:
    """The outcome of an attempt that ended in `error`: a retry or a dead letter."""
    if goes_on(error) and held is not None:
        outcome = _continued(message, held, received)
        if not isinstance(outcome, NoProgressError):
            return outcome
        error = outcome
    if isinstance(error, Throttled) and (throttled := _throttled(task, message, error, held, received)) is not None:
        return throttled
    decision = _decide(task, message, error, held, received)
    reason = decision.reason if isinstance(decision, GiveUp) else "failed"
    if task.guarantee == "at_most_once" and isinstance(error, TaskTimeoutError | CutOffError):
        reason = Reason.INTERRUPTED  # the call may go on in its thread: a person must judge whether the work was done
    why = failure(reason, error, message, received)
    if isinstance(decision, Again):
        return Retried(
            _successor(message, decision, received.facts.waited), decision.delay, why.type, held, why, decision.charged
        )
    return Dead(message, why, held)


def _continued(message: Message, held: lease.Lease, received: Received) -> Outcome | NoProgressError:
    """The outcome of a run that ended at a checkpoint. NoProgressError if it is an attempt that has failed."""
    is_told = notice.ends_at is not None  # its worker was told to end: the time of its run wasn't over
    if not (held.has_moved or held.has_failed_to_save or is_told):
        return NoProgressError()
    queue, now = received.queue, datetime.now(UTC)
    if held.moved.parts + 1 >= MOST_PARTS:
        return Dead(message, failure(Reason.EXHAUSTED, TooManyPartsError(), message, received), held)
    if queue.fifo and (received.sqs_record.receives >= queue.receive_limit or now > received.must_end_by):
        return Dead(message, failure(Reason.EXPIRED, TooManyPartsError(), message, received), held)
    successor = replace(
        message,
        step=message.step + 1,
        part=message.part + 1,
        waits_since=None,
        throttled=0,
        slots=None,
        waits_for="",
        waited=int(received.facts.waited.total_seconds()),
    )
    why = Failure(CONTINUES, attempts=message.attempt - 1, first_at=message.enqueued_at, last_at=now)
    # A run whose cursor hasn't moved does its work again: not at once, while AWS can't be reached or its worker ends.
    delay = timedelta() if held.has_moved else SHORTEST_UNCHARGED
    return Retried(successor, delay, "", held, why, charged=False, continues=True)


def _throttled(
    task: Task[..., Any, Any], message: Message, error: Throttled, held: lease.Lease | None, received: Received
) -> Outcome | None:
    """The outcome of an attempt that its provider has refused for now. None if it counts as an attempt."""
    if task.guarantee == "at_most_once":
        return Dead(message, failure(Reason.THROTTLED, error, message, received), held)
    if message.throttled >= MOST_THROTTLED:
        return None
    waited = received.facts.waited
    if waited > waits.LONGEST:
        return Dead(message, failure(Reason.WAITED_TOO_LONG, error, message, received), held)
    queue, now = received.queue, datetime.now(UTC)
    delay = later(max(error.retry_after, SHORTEST_UNCHARGED), random.random())  # noqa: S311 - no secret
    if queue.fifo and (received.sqs_record.receives >= queue.receive_limit or now + delay > received.must_end_by):
        return Dead(message, failure(Reason.EXPIRED, error, message, received), held)
    successor = replace(
        message,
        step=message.step + 1,
        throttled=message.throttled + 1,
        slots=None,
        waits_for=received.facts.throttled_by,
        waited=int(waited.total_seconds()),
    )
    why = failure(ASKED_TO_WAIT, error, message, received)
    return Retried(successor, delay, why.type, held, why, charged=False)


def unsent(message: Message, ended: lease.EndedUnsent, held: lease.Lease) -> Outcome:
    """The outcome that an earlier worker decided and could not send."""
    if ended.unsent == "dead":
        return Dead(message, ended.failure, held)
    delay = max(ended.due - datetime.now(UTC), timedelta())
    again = Again(delay, charged=ended.unsent == "retry")
    waited = timedelta(seconds=message.waited)
    successor, continues = _successor(message, again, waited), ended.failure.reason == CONTINUES
    if continues:
        successor = replace(successor, part=message.part + 1, waits_since=None)
    return Retried(successor, delay, ended.failure.type, held, ended.failure, again.charged, continues)


def _decide(
    task: Task[..., Any, Any], message: Message, error: BaseException, held: lease.Lease | None, received: Received
) -> Decision:
    queue, sqs_record, now = received.queue, received.sqs_record, datetime.now(UTC)
    has_begun = True
    if isinstance(error, Throttled):
        error = Retry(delay=error.retry_after)  # the last of many in a row: it counts
    if isinstance(error, CutOffError):
        # Not its fault: it is to run again soon, in another worker.
        has_begun, error = error.has_begun, Retry(delay=SHORTEST_UNCHARGED, charge=False)
    left = queue.retention - (now - _waits_since(message))
    attempt = held.counted(message.attempt) if held is not None else message.attempt
    decision = _decide_by_policy(task, attempt, error, overdue(message, received), left)
    if isinstance(decision, GiveUp):
        return decision
    if held is not None and held.moved.parts + 1 >= MOST_PARTS:
        return GiveUp(Reason.EXHAUSTED)  # each move of its cursor sets its attempts back to 1: only parts bound it
    if task.guarantee == "at_most_once" and has_begun:
        return GiveUp(Reason.EXHAUSTED)  # the task ran, charged or not
    # On a FIFO queue the same message is retried. After its last receive SQS would move it without a reason. At the end
    # of its retention, which counts from its only send, SQS would delete it.
    is_last = sqs_record.receives >= queue.receive_limit or now + decision.delay > received.must_end_by
    if queue.fifo and is_last:
        return GiveUp(Reason.EXPIRED)
    return decision


def _decide_by_policy(
    task: Task[..., Any, Any], attempt: int, error: BaseException, age: timedelta, left: timedelta
) -> Decision:
    try:
        return task.policy.decide(error, attempt=attempt, age=age, left=left)
    except WorkerLost:
        raise
    except BaseException as broken:  # noqa: BLE001 - the user's function may raise anything
        logger.error(
            "its retry policy failed, the default one decides",
            extra={"task": task.name, "error": error_type(broken), "where": error_place(broken)},
        )
        return Backoff().decide(error, attempt=attempt, age=age, left=left)


def _successor(message: Message, again: Again, waited: timedelta) -> Message:
    message = replace(message, slots=None, waits_for="", waited=int(waited.total_seconds()))
    if again.charged:
        return replace(message, attempt=message.attempt + 1, step=0, waits_since=None, throttled=0)
    return replace(message, step=message.step + 1, waits_since=_waits_since(message))


def _waits_since(message: Message) -> datetime:
    """When the message's first uncharged wait began: the date in the message, but not one in the future."""
    now = datetime.now(UTC)
    return min(message.waits_since or now, now)
