"""Delays beyond the 15 minutes that SQS can wait: one-time schedules of EventBridge Scheduler."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from celeriac import names, settings
from celeriac.aws import client
from celeriac.sqs import Entry, account, arn

if TYPE_CHECKING:
    from mypy_boto3_scheduler.type_defs import TargetTypeDef


def send_later(queue_name: str, entry: Entry, *, delay: timedelta, name: str) -> None:
    """Have Scheduler send `entry` after `delay`, give or take a minute.

    `name` (at most 64 characters) makes it happen once: a schedule that is there already is this one.
    """
    scheduler = client("scheduler")
    stage = settings.stage()
    meta = scheduler.meta
    owner = account(queue_name)
    role = f"arn:{meta.partition}:iam::{owner}:role/{names.scheduler_role(stage, meta.region_name)}"
    # A second later rather than earlier: a retry must not return before its provider said so.
    due = (datetime.now(UTC) + delay + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    target: TargetTypeDef = {
        "Arn": arn(queue_name),
        "RoleArn": role,
        "Input": entry.body,
        "DeadLetterConfig": {"Arn": arn(names.schedule_dead_letters(stage))},
    }
    if entry.group is not None:
        target["SqsParameters"] = {"MessageGroupId": entry.group}
    try:
        scheduler.create_schedule(
            Name=name,
            GroupName=names.schedule_group(stage),
            ScheduleExpression=f"at({due})",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target=target,
        )
    except scheduler.exceptions.ConflictException:
        return
