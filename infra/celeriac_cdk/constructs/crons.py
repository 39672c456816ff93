"""Recurring tasks: a schedule for each task that declares one."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from zoneinfo import available_timezones

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from celeriac import Task
from celeriac.model import cron, names
from celeriac.model.errors import DeclarationError
from celeriac_cdk.permissions import queue_arn, role_arn

# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
_MOST_CHARACTERS = 64
_UNFIT = re.compile(r"[^0-9a-zA-Z\-_.]")


class Crons(Construct):
    """The schedules of all tasks with a `cron`, in a group of their own, which no task or producer may change."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        tasks: Sequence[Task[..., Any, Any]],
        stage: str,
        key: kms.IKey | None,
    ) -> None:
        """Build a schedule for each task with a `cron`. Raises DeclarationError for an unknown time zone, and
        for a schedule that has ended.
        """
        super().__init__(scope, construct_id)
        group = scheduler.CfnScheduleGroup(self, "Group", name=names.cron_group(stage))
        for task in tasks:
            if task.cron is None:
                continue
            _check_timezone(task)
            _check_years(task.name, task.cron)
            schedule = scheduler.CfnSchedule(
                self,
                _construct_id(task.name),
                name=schedule_name(task.name),
                group_name=names.cron_group(stage),
                kms_key_arn=key.key_arn if key is not None else None,
                schedule_expression=task.cron,
                schedule_expression_timezone=task.timezone,
                flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
                target=scheduler.CfnSchedule.TargetProperty(
                    arn=queue_arn(task.queue.physical_name(stage)),
                    role_arn=role_arn(names.scheduler_role(stage, task.queue.name, cdk.Aws.REGION)),
                    input=cron.message(task.name),
                    dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(
                        arn=queue_arn(names.schedule_dead_letters(stage))
                    ),
                ),
            )
            schedule.node.add_dependency(group)  # the schedule has the group's name only


def _construct_id(task: str) -> str:
    """The id of a task's schedule. The CDK takes a `/` for `--`, so such a name could be another task's."""
    return f"Cron-{task}" if "/" not in task else f"Cron-{schedule_name(task)}"


def schedule_name(task: str) -> str:
    """Return the schedule's name `cron-<task>`. If Scheduler doesn't allow that name, a hash is part of the name."""
    name = f"cron-{_UNFIT.sub('_', task)}"
    if name == f"cron-{task}" and len(name) <= _MOST_CHARACTERS:
        return name
    return f"{name[:51]}-{sha256(task.encode()).hexdigest()[:12]}"


def _check_years(name: str, schedule: str) -> None:
    """Scheduler refuses a schedule that has ended. A worker has nothing against it, so only a synth checks this."""
    last = cron.last_year(schedule)
    if last is not None and last < datetime.now(UTC).year:
        raise DeclarationError(f"task {name!r}: its schedule ended in {last}, and Scheduler would refuse it: remove it")


def _check_timezone(task: Task[..., Any, Any]) -> None:
    # Python's list also has two files that name no zone.
    if task.timezone not in available_timezones() - {"localtime", "Factory"}:
        raise DeclarationError(
            f"task {task.name!r} has the unknown time zone {task.timezone!r}: write e.g. Europe/Berlin, or UTC"
        )
