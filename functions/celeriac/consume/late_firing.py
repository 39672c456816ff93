"""Firings of a schedule that come late: with `catch_up="one"`, about one runs for each time of delay."""

from datetime import UTC, datetime
from typing import Any

from celeriac.consume.claiming import claimed_key
from celeriac.consume.received import Received
from celeriac.consume.unrun import given_up
from celeriac.declare.key import Key
from celeriac.declare.task import Task
from celeriac.leases import late_start, lease
from celeriac.model import cron
from celeriac.model.firings import is_followed, is_late
from celeriac.model.message import Message


def planned_for(task: Task[..., Any, Any], message: Message) -> datetime | None:
    """The time for which a firing was planned, if it comes late and isn't certain to run; None for other messages.

    Retries and redriven letters are certain to run. `message` is the message as it came.
    """
    if task.cron is None or task.catch_up == "all" or message.turn != "1" or message.failure is not None:
        return None
    planned = cron.planned_for(task.name, message.id)
    late = planned is not None and is_late(task.cron, task.timezone, planned, datetime.now(UTC))
    return planned if late else None


def may_start(task: Task[..., Any, Any], message: Message, planned: datetime, key: Key, received: Received) -> bool:
    """Whether a late firing may start. With `one`, it may if no late firing has started since it was planned.

    Raises AWS's errors.
    """
    if task.cron is None or task.catch_up == "none":
        return False
    if given_up(task, message, received) is not None:
        # It can't run. So it must not stand for those that can, and is a dead letter only if no other one follows.
        return not is_followed(task.cron, task.timezone, planned, datetime.now(UTC))
    if late_start.note(received.queue, task.name, planned):
        return True
    # One that has begun must go on: its worker may have died, or its retry may be unsent.
    return bool(lease.look_up(task.name, claimed_key(task, key, message), received.queue.record_retention))
