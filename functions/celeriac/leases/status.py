"""What is known of a task, read from the record that its idempotency keeps anyway."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from celeriac.model.failure import Failure
from celeriac.model.queue import Queue
from celeriac.model.reason import Reason

type State = Literal["queued", "running", "retrying", "succeeded", "dead", "unknown"]


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a task. Two are equal when state, attempts, result and failure are."""

    state: State
    """queued: it was sent and waits for its first run. retrying: it waits for another run. unknown: nothing is stored
    of it: it was never sent, its record has expired, or it is an at_least_once task that may have succeeded."""
    attempts: int = 0
    result: Any = None
    """What the task returned, as JSON types, once it has succeeded."""
    failure: Failure | None = None
    """How its last attempt failed. Its reason is `worker lost` where the worker died and could not say."""
    id: str = field(default="", compare=False)
    """The id of the message whose state this is; empty where nothing is stored."""
    since: datetime | None = field(default=None, compare=False)
    """When it started to run, succeeded, or became a dead letter."""
    due: datetime | None = field(default=None, compare=False)
    """When a delayed task, or the next attempt of a failed one, is to run; SQS may be later, not earlier."""
    deaths: int = field(default=0, compare=False)
    """Workers that died while they ran its current attempt. They don't count as attempts."""
    duplicate_of: str | None = field(default=None, compare=False)
    """The id of another message of the same idempotency key, if this is that one's state: the task ran for it."""
    not_kept: str | None = field(default=None, compare=False)
    """Why a task that succeeded has no result here, although it may have returned one."""


def of_record(record: Mapping[str, Any], message_id: str, queue: Queue, *, once: bool) -> Status | None:
    """What `record` says of the message `message_id`, or of any message if that is empty; None if it says nothing.

    `once`: the task is at_most_once, so no other message of its key runs, whatever became of the first.
    """
    now = datetime.now(UTC)
    if not record or int(record.get("expiration", 0)) < now.timestamp():
        return None
    holder, state = str(record.get("task_id", "")), record.get("status")
    other = holder if message_id not in ("", holder) else None
    attempts = int(record.get("attempt", 0))
    failure = msgspec.json.decode(record["failure"], type=Failure) if "failure" in record else None
    if state == "COMPLETED":
        result, not_kept = _result(record)
        ended = _instant(record, "ended_at") or _completed_at(record, queue)
        return Status("succeeded", attempts, result, id=holder, since=ended, duplicate_of=other, not_kept=not_kept)
    if other is not None and not (once and state == "DEAD"):
        return None  # the other one may fail, and then this one runs
    if state == "DEAD":
        died = failure.last_at if failure is not None else None
        return Status("dead", attempts, failure=failure, id=holder, since=died, duplicate_of=other)
    if state == "RETRYING":
        due = _instant(record, "retry_at")
        return Status("retrying", attempts, failure=failure, id=holder, due=due)
    if state != "INPROGRESS":
        return None  # of a newer release
    expiry = datetime.fromtimestamp(int(record.get("in_progress_expiration", 0)) / 1000, UTC)
    deaths = int(record.get("deaths", 0))
    started = _instant(record, "started_at")
    if expiry > now:
        return Status("running", attempts, failure=failure, id=holder, since=started, deaths=deaths)
    reason = Reason.INTERRUPTED if once else Reason.WORKER_LOST
    lost = Failure(reason, message="its worker died while it ran", attempts=max(attempts - 1, 0), last_at=expiry)
    # The lease ends with the invocation, which began when the message became invisible.
    again = expiry - queue.timeout + queue.visibility
    return Status("retrying", lost.attempts, failure=lost, id=holder, due=again, deaths=deaths + 1)


def _result(record: Mapping[str, Any]) -> tuple[Any, str | None]:
    try:
        return msgspec.json.decode(record.get("data") or "null"), record.get("not_kept")
    except msgspec.DecodeError:
        return None, "what is stored of it can't be read"


def _instant(record: Mapping[str, Any], name: str) -> datetime | None:
    """A time of the record, which has milliseconds since 1970."""
    return datetime.fromtimestamp(int(record[name]) / 1000, UTC) if name in record else None


def _completed_at(record: Mapping[str, Any], queue: Queue) -> datetime:
    """When a record without `ended_at` was completed: it expires its queue's retention later."""
    return datetime.fromtimestamp(int(record["expiration"]), UTC) - queue.record_retention


def milliseconds(instant: datetime) -> str:
    """`instant` as a record holds it."""
    return str((instant - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1))
