"""Delays beyond SQS's limit of 15 minutes: one-time schedules of EventBridge Scheduler.

A schedule's target takes a message group only for a FIFO queue, and messages of FIFO queues are never scheduled. So a
tenant's group on a standard queue is lost here.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from celeriac.aws import refusals, schedules
from celeriac.aws.client import client, error_code
from celeriac.aws.sqs import Entry, account, arn
from celeriac.model import names, settings
from celeriac.model.errors import CeleriacError
from celeriac.model.keywords import escaped
from celeriac.model.message import Message

if TYPE_CHECKING:
    from mypy_boto3_scheduler.type_defs import TargetTypeDef


_FIRST = "1"
"""The turn of a message that has not run yet."""
# Conflicts pass within seconds, and hardly ever is more than one name taken.
_MOST_TRIES = 6


class OtherAccountError(CeleriacError):
    """A schedule can't be made in the account of another program's stage. Nothing was sent."""


def send_later(queue_name: str, entry: Entry, *, delay: timedelta, of: Message) -> None:
    """Have Scheduler send `entry`, the body of the message `of`, after `delay`, give or take a minute.

    The queue, the task, the id, the turn and the life make the schedule's name: a redriven message has a life of its
    own. So a schedule that a worker made before it crashed, and that the next worker makes again, is one schedule.
    Raises OtherAccountError if the stage is in another account, and ConflictException if none of several names could
    be used.
    """
    if settings.owner() is not None:
        raise OtherAccountError(
            f"task {of.task!r}: a delay of more than 15 minutes needs a schedule in the account of the stage, and "
            f"{settings.ACCOUNT} says that it is another one: send it with a shorter delay, or from there"
        )
    scheduler = client("scheduler")
    stage = settings.stage()
    meta = scheduler.meta
    owner = account(queue_name)
    sender = names.scheduler_role(stage, names.queue_of(queue_name), meta.region_name)
    role = f"arn:{meta.partition}:iam::{owner}:role/{sender}"
    # A second late is better than a second early: a retry must not return before the time that its provider asked for.
    due = (datetime.now(UTC) + delay + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    target: TargetTypeDef = {
        "Arn": arn(queue_name),
        "RoleArn": role,
        "Input": escaped(entry.body),
        "DeadLetterConfig": {"Arn": arn(names.schedule_dead_letters(stage))},
    }
    taken = 0
    for attempt in range(1, _MOST_TRIES + 1):
        name = _name(queue_name, of.task, of.id, *_run(of), *([f"{taken} taken"] if taken else []))
        try:
            scheduler.create_schedule(
                Name=name,
                GroupName=names.schedule_group(stage),
                ScheduleExpression=f"at({due})",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE",
                Target=target,
                **_encrypted(),
            )
        except scheduler.exceptions.ConflictException:
            if attempt == _MOST_TRIES:
                raise
        else:
            return
        match _holder(name, target):
            case "ours":
                return
            case "another":
                taken += 1
            case "nobody":  # a concurrent change of the name, which passes
                refusals.wait(attempt)


def due(queue_name: str, task: str, message_id: str) -> datetime | None:
    """Return when the schedule of a message's first attempt fires; None if none will fire."""
    found = schedules.found(first_name(queue_name, task, message_id))
    at = schedules.fires_at(found) if found is not None else None
    # Scheduler deletes a schedule some time after it has fired.
    return at if at is not None and at > datetime.now(UTC) else None


def first_name(queue_name: str, task: str, message_id: str) -> str:
    """Return the name of the schedule of a message's first attempt, unless another message had taken it."""
    return _name(queue_name, task, message_id, _FIRST)


def _holder(name: str, target: "TargetTypeDef") -> str:
    """Who has a schedule's name: `ours`, if that schedule will send the same message; `another`; or `nobody`."""
    try:
        found = schedules.found(name)
    except Exception as error:
        if "AccessDenied" not in error_code(error):
            raise
        # A producer may not read schedules. Another name costs at most a duplicate.
        return "another"
    if found is None:
        return "nobody"
    at, held = schedules.fires_at(found), found["Target"]
    is_same = (held["Arn"], held.get("Input")) == (target["Arn"], target["Input"])
    # One that has fired keeps its name for a while. The message that it sent may be what runs now.
    return "ours" if is_same and at is not None and at > datetime.now(UTC) else "another"


def _run(message: Message) -> list[str]:
    """What tells the runs of one id apart: the turn, and the life, because a redriven message has a new date.

    The first turn is without the life, so that its schedule is found by the id alone. No redrive schedules it again.
    """
    turn = message.turn
    return [turn] if turn == _FIRST or message.enqueued_at is None else [turn, message.enqueued_at.isoformat()]


def _name(queue_name: str, *parts: str) -> str:
    digest = sha256(" ".join([queue_name, *parts]).encode(errors="surrogatepass")).hexdigest()
    return names.schedule(names.queue_of(queue_name), digest)


def _encrypted() -> Any:
    key = settings.kms_key()
    return {"KmsKeyArn": key} if key is not None else {}
