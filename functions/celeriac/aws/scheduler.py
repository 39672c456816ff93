"""Delays beyond SQS's limit of 15 minutes: one-time schedules of EventBridge Scheduler.

A schedule's target takes a message group only for a FIFO queue, and messages of FIFO queues are never scheduled. So a
tenant's group on a standard queue is lost here.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from celeriac.aws.client import client
from celeriac.aws.sqs import Entry, account, arn
from celeriac.model import names, settings
from celeriac.model.message import Message

if TYPE_CHECKING:
    from mypy_boto3_scheduler.type_defs import TargetTypeDef


# A schedule's name takes 64 characters. A task and an id may have more, so the name is a UUID made of them:
# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
_NAMESPACE = UUID("5a0c2b0e-6b0e-4d43-9a5e-1f1c3c0a7d52")


def send_later(queue_name: str, entry: Entry, *, delay: timedelta, of: Message) -> None:
    """Have Scheduler send `entry`, the body of the message `of`, after `delay`, give or take a minute.

    The queue, the task, the id and the turn make the schedule's name. So a schedule that a worker made before it
    crashed, and that the next worker makes again, is one schedule.
    """
    name = _name(queue_name, of.task, of.id, of.turn)
    scheduler = client("scheduler")
    stage = settings.stage()
    meta = scheduler.meta
    owner = account(queue_name)
    role = f"arn:{meta.partition}:iam::{owner}:role/{names.scheduler_role(stage, meta.region_name)}"
    # A second late is better than a second early: a retry must not return before the time that its provider asked for.
    due = (datetime.now(UTC) + delay + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    target: TargetTypeDef = {
        "Arn": arn(queue_name),
        "RoleArn": role,
        "Input": entry.body,
        "DeadLetterConfig": {"Arn": arn(names.schedule_dead_letters(stage))},
    }
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
        return


def due(queue_name: str, task: str, message_id: str) -> datetime | None:
    """Return when the schedule of a message's first attempt fires; None if there is no schedule."""
    scheduler, group = client("scheduler"), names.schedule_group(settings.stage())
    try:
        found = scheduler.get_schedule(Name=_name(queue_name, task, message_id, "1"), GroupName=group)
    except scheduler.exceptions.ResourceNotFoundException:
        return None
    return datetime.fromisoformat(found["ScheduleExpression"][len("at(") : -1]).replace(tzinfo=UTC)


def _name(queue_name: str, task: str, message_id: str, turn: str) -> str:
    return str(uuid5(_NAMESPACE, f"{queue_name} {task} {message_id} {turn}"))


def _encrypted() -> Any:
    key = settings.kms_key()
    return {"KmsKeyArn": key} if key is not None else {}
