"""The alarms of a stage. Each description says what to do, and links to the runbook.

Missing data counts as healthy: an idle queue raises no alarm. Only the sweeper writes a metric each minute, so only its
silence raises one.
"""

from dataclasses import dataclass, field
from datetime import timedelta

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from celeriac.model import names
from celeriac.model.queue import MAX_RETENTION
from celeriac_cdk.config import StageConfig
from celeriac_cdk.monitoring.metrics import FIVE_MINUTES, measure


def alarm_topic(scope: Construct, config: StageConfig, key: kms.IKey | None) -> sns.Topic:
    """Build the topic that all alarms of the stage go to, with the configured address as its subscriber."""
    topic = sns.Topic(
        scope, "Alarms", topic_name=f"{names.prefix(config.stage)}-alarms", enforce_ssl=True, master_key=key
    )
    # This policy replaces SNS's default one, which would let CloudWatch publish.
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
        )
    )
    if config.alarm_email is not None:
        topic.add_subscription(subscriptions.EmailSubscription(config.alarm_email))
    return topic


@dataclass(frozen=True)
class Alarms:
    """Builds the alarms of a stage, and collects them for the dashboard."""

    config: StageConfig
    topic: sns.ITopic
    raised: list[cloudwatch.Alarm] = field(default_factory=list)

    def when(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        metric: cloudwatch.IMetric,
        reaches: float,
        advice: str,
        entry: str,
        times: int = 1,
    ) -> cloudwatch.Alarm:
        """Raise it while `metric` is at `reaches` or above for `times` periods. `entry` is an anchor of the runbook."""
        comparison = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
        return self._raise(
            cloudwatch.Alarm(
                scope,
                construct_id,
                alarm_name=f"{names.prefix(self.config.stage)}-{name}",
                alarm_description=self._description(advice, entry),
                metric=metric,
                threshold=reaches,
                evaluation_periods=times,
                comparison_operator=comparison,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
        )

    def when_silent(
        self, scope: Construct, construct_id: str, *, name: str, metric: cloudwatch.IMetric, advice: str, entry: str
    ) -> cloudwatch.Alarm:
        """Raise the alarm when `metric` wasn't measured for five minutes."""
        return self._raise(
            cloudwatch.Alarm(
                scope,
                construct_id,
                alarm_name=f"{names.prefix(self.config.stage)}-{name}",
                alarm_description=self._description(advice, entry),
                metric=metric,
                threshold=1,
                evaluation_periods=5,
                comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
            )
        )

    def when_letters(
        self,
        scope: Construct,
        *,
        queue: str,
        advice: str,
        entry: str,
        kept: timedelta = MAX_RETENTION,
        aged_before: timedelta = timedelta(),
    ) -> None:
        """Raise one alarm while the dead-letter queue holds a message, and one before SQS deletes the oldest.

        queue: the dead-letter queue's physical name.
        aged_before: how long a message may have waited in its own queue. SQS counts that for the retention of a message
            that it moves itself, and not for its age.

        The first alarm watches the depth, because the count of sent messages misses those that SQS moves itself.
        """
        name = queue.removeprefix(f"{names.prefix(self.config.stage)}-")
        self.when(
            scope,
            "DeadLetterAlarm",
            name=name,
            metric=measure("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", QueueName=queue),
            reaches=1,
            advice=advice,
            entry=entry,
        )
        left = kept - aged_before
        self.when(
            scope,
            "DeadLetterAgeAlarm",
            name=f"{name}-age",
            metric=measure("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", period=FIVE_MINUTES, QueueName=queue),
            reaches=int((left * 3 / 4).total_seconds()),
            advice=(
                f"SQS will delete the oldest letter of {queue} soon, in {left / 4} at most. "
                "Redrive it, discard it, or keep it in a file with `celeriac dlq export`."
            ),
            entry="old-dead-letters",
        )

    def when_it_fails(self, scope: Construct, *, function: str, entry: str) -> None:
        """Raise alarms when the function with that physical name fails as a whole, or is throttled."""
        name = function.removeprefix(f"{names.prefix(self.config.stage)}-")
        log = f"/aws/lambda/{function}"
        self.when(
            scope,
            "ErrorAlarm",
            name=f"{name}-errors",
            metric=measure("AWS/Lambda", "Errors", "Sum", period=FIVE_MINUTES, FunctionName=function),
            reaches=1,
            advice=(
                f"Invocations of {function} died or timed out. A task that fails doesn't cause this. Read the last "
                f"lines before each in {log}. Memory is the most likely cause, or a release that can't be imported."
            ),
            entry=entry,
        )
        self.when(
            scope,
            "ThrottleAlarm",
            name=f"{name}-throttles",
            metric=measure("AWS/Lambda", "Throttles", "Sum", period=FIVE_MINUTES, FunctionName=function),
            reaches=1,
            # The caller waits out a short throttle.
            times=3,
            advice=(
                f"{function} is throttled: the concurrency of this region is used up. See which function uses it, "
                "limit that function, or raise the quota. Messages wait meanwhile; none is lost."
            ),
            entry="throttled-functions",
        )

    def when_throttled(self, scope: Construct, construct_id: str, *, table: str, index: str | None = None) -> None:
        """Raise alarms when reads or writes of the table with that physical name, or of its index, are throttled."""
        what = table if index is None else f"{table}'s index {index}"
        dimensions = {"TableName": table} | ({} if index is None else {"GlobalSecondaryIndexName": index})
        of_index = f"-{index}" if index is not None else ""
        name = table.removeprefix(f"{names.prefix(self.config.stage)}-")
        for kind in ("Read", "Write"):
            self.when(
                scope,
                f"{construct_id}{kind}ThrottleAlarm",
                name=f"{name}{of_index}-{kind.lower()}-throttles",
                metric=measure("AWS/DynamoDB", f"{kind}ThrottleEvents", "Sum").with_(dimensions_map=dimensions),
                reaches=1,
                times=2,
                advice=(
                    f"{kind}s of {what} are throttled. Tasks are handed back and run later, uncharged. Causes: "
                    "traffic that more than doubled in half an hour, one hot key, or the account's quota for tables."
                ),
                entry="throttled-tables",
            )

    def _raise(self, alarm: cloudwatch.Alarm) -> cloudwatch.Alarm:
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        self.raised.append(alarm)
        return alarm

    def _description(self, advice: str, entry: str) -> str:
        return f"{advice} {self.config.runbook}#{entry}"
