"""The sweeper: each minute it publishes rows that the relay has left behind, and measures what alarms watch.

In an ephemeral stage it runs every five minutes.
"""

from collections.abc import Iterable
from datetime import timedelta

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from celeriac.model import names
from celeriac.model.stages import SWEEPER_RESERVE
from celeriac.observe.metric_names import Metric
from celeriac_cdk.constructs.handler import Runtime, Size, build_handler
from celeriac_cdk.constructs.release import release
from celeriac_cdk.declarations.fan_out import RELAY_TIMEOUT
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.metrics import FIVE_MINUTES, measure, stage_metric
from celeriac_cdk.monitoring.notice import Notice
from celeriac_cdk.monitoring.times import in_words
from celeriac_cdk.permissions import (
    count_messages,
    find_events,
    list_schedules,
    mark_events,
    note_held_aggregates,
)

# Five sweeps: long enough for a throttle to end, short enough that no row has waited long.
_OLD = FIVE_MINUTES
# As old as a task of a usual queue may become before its own alarm begins.
_HELD_UP = timedelta(hours=1)


class Sweeper(Construct):
    """The sweeper's function, its schedule, and the alarms on unpublished rows."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        runtime: Runtime,
        permissions: Iterable[iam.PolicyStatement],
        alarms: Alarms,
    ) -> None:
        """Build the sweeper. `permissions` are the rights to publish."""
        super().__init__(scope, construct_id)
        stage = runtime.config.stage
        table = names.outbox_table(stage)
        function = self.function = build_handler(
            self,
            name=names.sweeper_function(stage),
            handler="celeriac.entry.sweeper.handler",
            # A sweep ends within a minute. A call to a queue that is out of reach takes most of a minute more.
            timeout=RELAY_TIMEOUT,
            runtime=runtime,
            size=Size(reserved=runtime.config.reserved(SWEEPER_RESERVE)),
            permissions=[
                *find_events(table, names.outbox_index()),
                mark_events(table),
                note_held_aggregates(names.idempotency_table(stage)),
                *count_messages(stage),
                list_schedules(),
                *permissions,
            ],
        )
        role = iam.Role(
            self,
            "SchedulerRole",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
            ),
        )
        target = release(self, function, name="sweeper", alarms=alarms)
        # Lambda keeps what it couldn't invoke for six hours. After an hour of throttling, sixty sweeps would begin.
        target.configure_async_invoke(max_event_age=cdk.Duration.minutes(1), retry_attempts=0)
        role.add_to_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[target.function_arn]))
        schedule = scheduler.CfnSchedule(
            self,
            "Schedule",
            name=names.sweeper_function(stage),
            schedule_expression="rate(1 minute)" if runtime.config.watched else "rate(5 minutes)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=target.function_arn,
                role_arn=role.role_arn,
                # The next run is the retry.
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(maximum_retry_attempts=0),
            ),
        )
        self._alarms(alarms, schedule)

    def _alarms(self, alarms: Alarms, schedule: scheduler.CfnSchedule) -> None:
        stage = alarms.config.stage
        type_ = f"`celeriac --stage {stage}"
        relay, sweeper = names.relay_function(stage), names.sweeper_function(stage)
        alarms.when(
            self,
            "UnpublishedAlarm",
            name="outbox-UnpublishedAge",
            metric=stage_metric(Metric.UNPUBLISHED_AGE, "Maximum", stage),
            reaches=_OLD.total_seconds(),
            notice=Notice(
                f"Rows of the outbox have waited for longer than {in_words(_OLD)}.",
                "Relay and sweeper can't publish them: a queue can't be reached, a right is missing, or a release is "
                "under way. Nothing is lost: they publish the rows when the cause is gone.",
                f"Type {type_} outbox lag`, then {type_} tail --since 10m`: the logs of {relay} and {sweeper} say why.",
                "every row is published or parked",
                "rows-that-wait",
            ),
        )
        silence = alarms.when_silent(
            self,
            "SilenceAlarm",
            name="outbox-silence",
            metric=stage_metric(Metric.UNPUBLISHED_AGE, "SampleCount", stage),
            notice=Notice(
                f"{sweeper} has measured nothing for 15 minutes.",
                "It is invoked each minute, so Lambda is throttled in this region, or the function fails, or its "
                "schedule is off. If Lambda is throttled, all queues wait. Nothing is lost meanwhile.",
                f"Type {type_} doctor`, then {type_} tail --since 30m`.",
                "the sweeper runs again",
                "a-silent-sweeper",
            ),
        )
        if silence is not None:
            silence.node.add_dependency(schedule)  # the alarm is raised until the first measurement
        alarms.when(
            self,
            "ParkedAlarm",
            name="outbox-ParkedEvents",
            # The sweeper writes it each minute while there are any. One that is late must not end the alarm.
            metric=stage_metric(Metric.PARKED_EVENTS, "Maximum", stage, period=FIVE_MINUTES),
            reaches=1,
            notice=Notice(
                "Some rows of the outbox can't be published: they are parked.",
                "Their subscribers don't get them. Each row says why, in `reason`.",
                f"Type {type_} outbox lag`, remove the cause, then {type_} outbox replay --type TYPE --since 7d`.",
                "no row is parked",
                "parked-rows",
            ),
        )
        alarms.when(
            self,
            "LateBatchesAlarm",
            name="late-batches",
            # The sweeper writes it each minute while there are any. One that is late must not end the alarm.
            metric=measure(
                names.METRICS,
                Metric.LATE_BATCHES,
                "Maximum",
                period=FIVE_MINUTES,
                service="tasks",
                stage=names.prefix(stage),
            ),
            reaches=1,
            notice=Notice(
                "Batches haven't ended in the time that they should take.",
                "Members are dead letters or wait, or the program died that filled the batch: then no callback comes.",
                f"Type {type_} batches list`, then {type_} batches show ID`.",
                "they have ended, or are given up",
                "late-batches",
            ),
        )
        alarms.when(
            self,
            "HeldUpAlarm",
            name="held-up",
            metric=measure(
                names.METRICS,
                Metric.HELD_UP,
                "Maximum",
                period=FIVE_MINUTES,
                service="tasks",
                stage=names.prefix(stage),
            ),
            reaches=_HELD_UP.total_seconds(),
            times=(3, 3),
            notice=Notice(
                f"Tasks that are {in_words(_HELD_UP)} old or older are handed back: AWS refuses a call of their "
                "consumer.",
                "AWS has an outage, or a right is missing, such as that to a table or a key. No attempt is charged, "
                "and nothing is lost. SQS's own measure of age leaves such messages out.",
                f"Type {type_} tail --since 15m`: `message not settled` has the error.",
                "they are run",
                "held-up-tasks",
            ),
        )
        alarms.when(
            self,
            "RemovedQueuesAlarm",
            name="removed-queues",
            metric=stage_metric(Metric.REMOVED_QUEUES, "Maximum", stage, period=FIVE_MINUTES),
            reaches=1,
            # While a deploy adds a queue, the sweeper of the release before doesn't know it. A canary takes minutes.
            times=(6, 6),
            notice=Notice(
                "Messages lie in queues of this stage that no declaration knows any more.",
                "Nobody runs them, and SQS deletes them in the end.",
                f"Type {type_} doctor`: it names the queues. The runbook says how to move their messages.",
                "these queues are empty or deleted",
                "removed-queues",
            ),
        )
