"""The status of a task, read from the record of its idempotency key."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from celeriac.leases import tombstones
from celeriac.leases.result import of_record as result_of
from celeriac.leases.states import COMPLETED, DEAD, INPROGRESS, RETRYING, has_begun, has_expired
from celeriac.leases.tombstones import Cancellation
from celeriac.model.continuing import CONTINUES
from celeriac.model.failure import Failure
from celeriac.model.progress_made import Progress, progress_of
from celeriac.model.queue import Queue
from celeriac.model.reason import Reason

type State = Literal["queued", "running", "retrying", "succeeded", "superseded", "dead", "cancelled", "unknown"]


class Status(msgspec.Struct, frozen=True):
    """The state of a task. Two are equal when state, attempts, result and failure are."""

    state: State
    """queued: the task was sent and waits for its first run. running: a worker runs it, or it has ended a run at a
    checkpoint and goes on in the next invocation. retrying: it waits for another run. superseded: it is debounced, and
    newer arguments have come; only the handle that `enqueue` returned can say so. cancelled: it doesn't run, because
    somebody cancelled it or because it expired; it has no dead letter. unknown: nothing is
    stored. Then it was never sent, its record has expired, or it is an at_least_once task that may have succeeded."""
    attempts: int = 0
    result: Any = None
    """What the task returned, as JSON types, once it has succeeded."""
    failure: Failure | None = None
    """How the last attempt failed. The reason is `worker lost` if the worker died during it. Of long texts only the
    ends are recorded; a dead letter has them whole."""
    id: str = ""
    """The id of the message that has this state; empty if nothing is stored."""
    since: datetime | None = None
    """When the task started to run, succeeded, became a dead letter, or was cancelled."""
    due: datetime | None = None
    """When a delayed task, or the next attempt, is to run. SQS may deliver later, and never earlier. If the task waits
    for a limit, it is about when the limit lets it start."""
    deaths: int = 0
    """Number of workers that died during the current attempt. They don't count as attempts."""
    duplicate_of: str | None = None
    """The id of another message with the same idempotency key, if this is the state of that message. In the state
    `dead` with the reason `key mismatch` this message is the dead letter, and the other one has used the key."""
    not_kept: str | None = None
    """Why the result of a successful task isn't stored; None if it is."""
    waits_for: str | None = None
    """The name of the limit that keeps a queued or retrying task from starting, as it stands now; None if none does, if
    that can't be known without the task's arguments, or without the permission to read the limit. It then waits for a
    worker, or for `due`."""
    progress: Progress | None = None
    """How far the task was when it last said so, see `ctx.progress`; None if it never has."""
    cancellation: Cancellation | None = None
    """Who has cancelled it, when and why, if somebody has. While the state is `running`, it is asked to stop."""

    def __eq__(self, other: object) -> bool:
        return self._compared == other._compared if isinstance(other, Status) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._compared)

    @property
    def _compared(self) -> tuple[object, ...]:
        return self.state, self.attempts, self.result, self.failure


def of_record(record: Mapping[str, Any], message_id: str, queue: Queue, *, once: bool) -> Status | None:
    """The status of the message `message_id` by its record, or of any message if the id is empty; None if unknown.

    once: the task is at_most_once, so no other message of its key ever runs.
    """
    now = datetime.now(UTC)
    if (stopped := _stopped(record, message_id, now)) is not None:
        return stopped
    if not record or tombstones.state_is_over(record, now):
        return None
    known = _of_state(record, message_id, queue, now, once=once)
    if known is None:
        return None
    said = tombstones.cancellation(record, known.id) if tombstones.names(record, known.id) else None
    return replace(known, cancellation=said, progress=progress_of(record, known.id))


def _of_state(record: Mapping[str, Any], message_id: str, queue: Queue, now: datetime, *, once: bool) -> Status | None:
    """The status by a record's state, which counts yet."""
    holder, state = str(record.get("task_id", "")), record.get("status")
    other = holder if message_id not in ("", holder) else None
    attempts = int(record.get("attempt", 0))
    failure = msgspec.json.decode(record["failure"], type=Failure) if "failure" in record else None
    if state == COMPLETED:
        result, not_kept = result_of(record)
        since = _instant(record, "ended_at") or _completed_at(record, queue)
        return Status(
            "succeeded", attempts, result, id=holder, since=since, duplicate_of=other, not_kept=not_kept or None
        )
    if other is not None and (not once or has_expired(record)):
        return None  # the other message may fail, or has never started, and then this one runs
    if state == DEAD:
        return ended(failure, attempts, holder, duplicate_of=other)
    if state == RETRYING and not has_begun(record, holder):
        return Status("queued", id=holder)  # a worker gave its claim back before the task was started
    if state == RETRYING and failure is not None and failure.reason == CONTINUES:
        started = _instant(record, "started_at")
        due = _instant(record, "retry_at")
        return Status("running", attempts, id=holder, since=started, due=due, duplicate_of=other)
    if state == RETRYING:
        due = _instant(record, "retry_at")
        return Status("retrying", attempts, failure=failure, id=holder, due=due, duplicate_of=other)
    if state != INPROGRESS:
        return None  # a newer release wrote it
    expiry = datetime.fromtimestamp(int(record.get("in_progress_expiration", 0)) / 1000, UTC)
    deaths = int(record.get("deaths", 0))
    started = _instant(record, "started_at")
    if expiry > now:
        return Status("running", attempts, failure=failure, id=holder, since=started, deaths=deaths, duplicate_of=other)
    reason = Reason.INTERRUPTED if once else Reason.WORKER_LOST
    lost = Failure(reason, message="its worker died while it ran", attempts=max(attempts - 1, 0), last_at=expiry)
    # The lease ends with the invocation, which began when the message became invisible.
    again = expiry - queue.lease + queue.visibility
    return Status("retrying", lost.attempts, failure=lost, id=holder, due=again, deaths=deaths + 1, duplicate_of=other)


def _stopped(record: Mapping[str, Any], message_id: str, now: datetime) -> Status | None:
    """The status of a message that was cancelled before it ended; None if it wasn't, or is asked to stop."""
    holder, state = str(record.get("task_id", "")), record.get("status")
    said = tombstones.last(record)
    its = message_id or holder or (said.id if said is not None else "")
    if not tombstones.has_stopped(record, its, now):
        return None
    if its == holder and state in {COMPLETED, DEAD} and not tombstones.state_is_over(record, now):
        return None  # it had ended by then, or the record says how it was stopped
    said = tombstones.cancellation(record, its)
    attempts = int(record.get("attempt", 0)) if its == holder else 0
    at = said.at if said is not None else None
    failure = Failure(Reason.CANCELLED, message=said.text if said is not None else "", attempts=attempts, last_at=at)
    made = progress_of(record, its)
    return Status("cancelled", attempts, failure=failure, id=its, since=at, cancellation=said, progress=made)


def ended(failure: Failure | None, attempts: int, message_id: str, *, duplicate_of: str | None = None) -> Status:
    """The status of a message that doesn't run any more, by its failure: it is a dead letter, or was cancelled."""
    state: State = "cancelled" if failure is not None and failure.is_cancelled else "dead"
    since = failure.last_at if failure is not None else None
    return Status(state, attempts, failure=failure, id=message_id, since=since, duplicate_of=duplicate_of)


def _instant(record: Mapping[str, Any], name: str) -> datetime | None:
    """An instant of the record, which stores milliseconds since 1970."""
    return datetime.fromtimestamp(int(record[name]) / 1000, UTC) if name in record else None


def _completed_at(record: Mapping[str, Any], queue: Queue) -> datetime:
    """When a record without `ended_at` was completed: the queue's record retention before it expires."""
    return datetime.fromtimestamp(int(record["expiration"]), UTC) - queue.record_retention


def milliseconds(instant: datetime) -> str:
    """`instant` in the form of a record: milliseconds since 1970."""
    return str((instant - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1))
