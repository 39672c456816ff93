"""Looks up what is stored about a task, for its status."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from celeriac.aws import sqs
from celeriac.aws.client import error_code
from celeriac.dead_letters import letter_notes, search
from celeriac.flow import debounce, overrides, rows
from celeriac.flow.standing import Standing, standing
from celeriac.leases import lease
from celeriac.leases.status import Status, ended
from celeriac.model.guarantee import Guarantee
from celeriac.model.limits import Limit, Rate
from celeriac.model.queue import Queue
from celeriac.model.reason import Reason
from celeriac.model.retry import ASKED_TO_WAIT


def is_denied(error: Exception) -> bool:
    """Whether AWS refused a call because a permission is missing. The services have different codes for this."""
    return "AccessDenied" in error_code(error)


def record(task: str, key: str, queue: Queue, guarantee: Guarantee) -> Mapping[str, Any]:
    """The idempotency record of a task's key; empty if there is none. An at_least_once task never has one."""
    if guarantee == "at_least_once":
        return {}
    return lease.look_up(task, key, queue.record_retention)


def has_newer(queue: Queue, task: str, values: str, message_id: str, due: datetime) -> bool:
    """Whether a newer message has come of a debounced task. `due` is when this one was due, by its sender's clock.

    Without the permission to read it, nothing is known of newer ones.
    """
    try:
        item = rows.read(rows.of_debounce(queue.name, task, values))
    except Exception as error:
        if is_denied(error):
            return False
        raise
    return debounce.has_newer(item, message_id, due)


def mismatch(queues: Sequence[Queue], task: str, message_id: str, known: Status) -> Status | None:
    """The status of a duplicate that is a dead letter because of its arguments, by its note; None if it isn't one."""
    noted = letter_notes.noted(queues, task, message_id)
    if noted is None or noted.reason != Reason.KEY_MISMATCH:
        return None
    return Status(
        "dead", noted.attempts, failure=noted, id=message_id, since=noted.last_at, duplicate_of=known.duplicate_of
    )


def dead_letter(task: str, message_id: str, *queues: Queue) -> Status | None:
    """The status of a dead letter, from its note or from the queues' dead-letter queues; None if none is found.

    The status is `unknown` if a queue holds more letters than are received: the message may be one of the others.
    """
    noted = letter_notes.noted(queues, task, message_id)
    if noted is not None:
        return ended(noted, noted.attempts, message_id)
    known: Status | None = None
    for queue in queues:
        try:
            letter, every = search.find(queue, message_id)
        except sqs.NoSuchQueueError:
            continue
        except Exception as error:
            if is_denied(error):
                continue
            raise
        if letter is not None:
            attempts = letter.failure.attempts if letter.failure is not None else 0
            since = letter.failure.last_at if letter.failure is not None else None
            return Status("dead", attempts, failure=letter.failure, id=message_id, since=since)
        if not every:
            known = Status("unknown")
    return known


def held_up(known: Status, limits: Sequence[Limit], values: Mapping[str, str]) -> Status:
    """The status of a task that hasn't started, with the limit that it waits for, and until when.

    values: what the task's arguments say of the limits with a `by`, by the limit's name. A limit of which nothing is
    known is left out, as is everything without the permission to read the items. It is a read for each limit.
    """
    now = datetime.now(UTC)
    is_throttled = known.failure is not None and known.failure.reason == ASKED_TO_WAIT
    if known.due is not None and known.due > now and not is_throttled:
        return known  # until then it asks no limit
    try:
        found = _holding([limit for limit in limits if not limit.names or limit.name in values], values)
    except Exception as error:
        if is_denied(error) or rows.is_throttled(error) or rows.is_missing(error):
            return known
        raise
    if found is None:
        return known
    name, at = found
    until = at.until if known.due is None or at.until is None else max(known.due, at.until)
    return replace(known, waits_for=name, due=until)


def _holding(limits: Sequence[Limit], values: Mapping[str, str]) -> tuple[str, Standing] | None:
    """The limit that holds a task up for the longest time, and how it stands; None if none does."""
    if not limits:
        return None
    # A rate's override says nothing about until when its line is promised.
    is_set = _is_set() if any(not isinstance(limit, Rate) for limit in limits) else {}
    found = [
        (limit.name, standing(limit, rows.read(rows.of_limit(limit.name, values.get(limit.name, ""))), one, rows.now()))
        for limit in limits
        for one in [is_set.get(limit.name)]
    ]
    holding = [(name, at) for name, at in found if at.holds]
    for_ever = datetime.max.replace(tzinfo=UTC)
    return max(holding, key=lambda pair: pair[1].until or for_ever, default=None)


def _is_set() -> Mapping[str, overrides.Override]:
    """What operators have set; nothing without the permission to read it."""
    try:
        return overrides.now()
    except Exception as error:
        if is_denied(error):
            return {}
        raise
