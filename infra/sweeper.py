"""The sweeper: every minute it publishes what the relay has left behind, and measures what nobody could publish."""

from collections.abc import Iterable
from datetime import timedelta

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_sns as sns
from constructs import Construct

from celeriac import names
from infra.alarms import outbox_alarm, silence_alarm
from infra.handler import Runtime, build_handler
from infra.permissions import find_events, mark_events

# Five sweeps in vain: a throttle is over by then, and nobody has waited long.
_OLD = timedelta(minutes=5)


class Sweeper(Construct):
    """The sweeper's function, its schedule, and the alarms on what stays unpublished."""

    def __init__(
        self, scope: Construct, *, runtime: Runtime, permissions: Iterable[iam.PolicyStatement], alarms: sns.ITopic
    ) -> None:
        """Build the sweeper; `permissions` are what publishing takes."""
        super().__init__(scope, "Sweeper")
        stage = runtime.config.stage
        table = names.outbox_table(stage)
        function = build_handler(
            self,
            name=names.sweeper_function(stage),
            handler="sweeper.handler",
            timeout=timedelta(minutes=1),
            runtime=runtime,
            permissions=[*find_events(table, names.outbox_index()), mark_events(table), *permissions],
        )
        scheduler.Schedule(
            self,
            "Schedule",
            schedule_name=names.sweeper_function(stage),
            schedule=scheduler.ScheduleExpression.rate(cdk.Duration.minutes(1)),
            # The next minute is the retry.
            target=targets.LambdaInvoke(function, retry_attempts=0),
        )
        outbox_alarm(
            self,
            "UnpublishedAlarm",
            stage=stage,
            metric="UnpublishedAge",
            threshold=_OLD.total_seconds(),
            advice=(
                f"Outbox events wait for longer than {_OLD}: neither relay nor sweeper can publish them. Read the logs "
                f"of {names.relay_function(stage)} and {names.sweeper_function(stage)}, and cure the cause: the "
                "sweeper then publishes them."
            ),
            topic=alarms,
        )
        silence_alarm(
            self,
            "SilenceAlarm",
            stage=stage,
            metric="UnpublishedAge",
            advice=(
                f"{names.sweeper_function(stage)} hasn't measured anything for five minutes: it doesn't run, or it "
                "fails. Read its log; is its schedule there, and enabled? Events that the relay leaves behind wait."
            ),
            topic=alarms,
        )
        outbox_alarm(
            self,
            "ParkedAlarm",
            stage=stage,
            metric="ParkedEvents",
            threshold=1,
            advice=(
                f"Outbox events can't be published as things are. Each row of {table} whose `waiting` is `parked` "
                "has the `reason`: cure it, then run `celeriac outbox replay`."
            ),
            topic=alarms,
        )
