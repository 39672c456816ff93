"""The sweeper: each minute it publishes rows that the relay has left behind, and counts what waits."""

from collections.abc import Iterable

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from celeriac.model import names
from celeriac.observe.metric_names import Metric
from celeriac_cdk.constructs.handler import Runtime, build_handler
from celeriac_cdk.declarations.fan_out import RELAY_TIMEOUT
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.metrics import FIVE_MINUTES, outbox_metric
from celeriac_cdk.monitoring.times import in_words
from celeriac_cdk.permissions import find_events, list_schedules, mark_events, note_held_aggregates

# Five sweeps: long enough for a throttle to end, short enough that no row has waited long.
_OLD = FIVE_MINUTES


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
            handler="sweeper.handler",
            # A sweep ends within a minute. A call to a queue that is out of reach takes most of a minute more.
            timeout=RELAY_TIMEOUT,
            runtime=runtime,
            permissions=[
                *find_events(table, names.outbox_index()),
                mark_events(table),
                note_held_aggregates(names.idempotency_table(stage)),
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
        role.add_to_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.function_arn]))
        schedule = scheduler.CfnSchedule(
            self,
            "Schedule",
            name=names.sweeper_function(stage),
            schedule_expression="rate(1 minute)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=function.function_arn,
                role_arn=role.role_arn,
                # The run of the next minute is the retry.
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(maximum_retry_attempts=0),
            ),
        )
        alarms.when_it_fails(self, function=names.sweeper_function(stage), entry="failing-functions")
        alarms.when(
            self,
            "UnpublishedAlarm",
            name="outbox-UnpublishedAge",
            metric=outbox_metric(Metric.UNPUBLISHED_AGE, "Maximum", stage),
            reaches=_OLD.total_seconds(),
            advice=(
                f"Rows of the outbox have waited for longer than {in_words(_OLD)}: relay and sweeper can't publish "
                f"them. Read the logs of {names.relay_function(stage)} and {names.sweeper_function(stage)}, and "
                "remove the cause. Then the sweeper publishes the rows."
            ),
            entry="rows-that-wait",
        )
        silence = alarms.when_silent(
            self,
            "SilenceAlarm",
            name="outbox-silence",
            metric=outbox_metric(Metric.UNPUBLISHED_AGE, "SampleCount", stage),
            advice=(
                f"{names.sweeper_function(stage)} has measured nothing for five minutes: it doesn't run, or it fails. "
                "Read its log, and check that its schedule exists and is enabled. Rows wait meanwhile."
            ),
            entry="a-silent-sweeper",
        )
        silence.node.add_dependency(schedule)  # the alarm rings until the first measurement
        alarms.when(
            self,
            "ParkedAlarm",
            name="outbox-ParkedEvents",
            metric=outbox_metric(Metric.PARKED_EVENTS, "Maximum", stage),
            reaches=1,
            advice=(
                f"Some rows of the outbox can't be published. Each row of {table} with `waiting` = `parked` says why "
                "in `reason`. Remove the cause, then run `celeriac outbox replay`."
            ),
            entry="parked-rows",
        )
