"""The alarms of a stage. Each description says what to do, and links to the runbook.

Missing data counts as healthy, so an idle queue raises no alarm. The sweeper's metric is the exception: the sweeper
writes it each minute, and its absence raises an alarm.
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
from celeriac_cdk.monitoring.times import in_words
from celeriac_cdk.permissions import arn


def topic_of(scope: Construct, config: StageConfig) -> sns.ITopic:
    """Return the topic that gets the stage's alarms: a topic of the team, or that of `alarm_topic`."""
    own = arn("sns", names.part(config.stage, "alarms"))
    return sns.Topic.from_topic_arn(scope, "Alarms", config.settings.alarm_topic or own)


def alarm_topic(scope: Construct, config: StageConfig, key: kms.IKey | None) -> None:
    """Build the topic for all alarms of the stage, with the configured addresses.

    It is in the stateful stack: who subscribes to it by hand stays subscribed.
    """
    topic = sns.Topic(scope, "Alarms", topic_name=names.part(config.stage, "alarms"), enforce_ssl=True, master_key=key)
    # This policy replaces SNS's default policy, which allows CloudWatch to publish. So it must allow that itself.
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
        )
    )
    for address in config.settings.alarm_emails:
        topic.add_subscription(subscriptions.EmailSubscription(address))


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
        """Build an alarm that is raised while `metric` is at least `reaches` for `times` periods.

        `entry` is an anchor of the runbook.
        """
        comparison = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
        return self._raise(
            cloudwatch.Alarm(
                scope,
                construct_id,
                alarm_name=names.part(self.config.stage, name),
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
        """Build an alarm that is raised when `metric` had no data for five minutes."""
        return self._raise(
            cloudwatch.Alarm(
                scope,
                construct_id,
                alarm_name=names.part(self.config.stage, name),
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
        """Build two alarms: one for messages in the dead-letter queue, one before SQS deletes the oldest of them.

        queue: the dead-letter queue's physical name.
        aged_before: the longest time that a message may have waited in its task queue. If SQS itself moves the message,
            this time counts towards the retention, but the metric of the age doesn't include it.

        The first alarm watches the number of messages in the queue, because the metric of sent messages doesn't count
        messages that SQS moves itself.
        """
        name = queue.removeprefix(names.start(self.config.stage))
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
                f"SQS will delete the oldest letter of {queue} soon, within {in_words(left / 4)}. "
                "Redrive it, discard it, or keep it in a file with `celeriac dlq export`."
            ),
            entry="old-dead-letters",
        )

    def when_it_fails(self, scope: Construct, *, function: str, entry: str) -> None:
        """Build alarms for failed and for throttled invocations. `function` is a physical name."""
        name = function.removeprefix(names.start(self.config.stage))
        log = f"/aws/lambda/{function}"
        self.when(
            scope,
            "ErrorAlarm",
            name=f"{name}-errors",
            metric=measure("AWS/Lambda", "Errors", "Sum", period=FIVE_MINUTES, FunctionName=function),
            reaches=1,
            advice=(
                f"Invocations of {function} crashed or timed out. A failed task doesn't cause this. Read the last "
                f"lines before each crash in {log}. The most likely causes are too little memory, and a release that "
                "can't be imported."
            ),
            entry=entry,
        )
        self.when(
            scope,
            "ThrottleAlarm",
            name=f"{name}-throttles",
            metric=measure("AWS/Lambda", "Throttles", "Sum", period=FIVE_MINUTES, FunctionName=function),
            reaches=1,
            # A short throttle needs no alarm, because the caller tries again.
            times=3,
            advice=(
                f"{function} is throttled: all concurrency of this region is in use. Find the function that uses most "
                "of it. Limit that function, or raise the quota. Messages wait meanwhile, and no message is lost."
            ),
            entry="throttled-functions",
        )

    def when_throttled(self, scope: Construct, construct_id: str, *, table: str, index: str | None = None) -> None:
        """Build alarms for throttled reads and writes of a table, or of its index. `table` is a physical name."""
        what = table if index is None else f"{table}'s index {index}"
        dimensions = {"TableName": table} | ({} if index is None else {"GlobalSecondaryIndexName": index})
        of_index = f"-{index}" if index is not None else ""
        name = table.removeprefix(names.start(self.config.stage))
        for kind in ("Read", "Write"):
            self.when(
                scope,
                f"{construct_id}{kind}ThrottleAlarm",
                name=f"{name}{of_index}-{kind.lower()}-throttles",
                metric=measure("AWS/DynamoDB", f"{kind}ThrottleEvents", "Sum").with_(dimensions_map=dimensions),
                reaches=1,
                times=2,
                advice=(
                    f"{kind}s of {what} are throttled. Tasks are handed back and run later, and no attempt is charged. "
                    "Possible causes: traffic that more than doubled in half an hour, one hot key, or the account's "
                    "quota for tables."
                ),
                entry="throttled-tables",
            )

    def _raise(self, alarm: cloudwatch.Alarm) -> cloudwatch.Alarm:
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        self.raised.append(alarm)
        return alarm

    def _description(self, advice: str, entry: str) -> str:
        return f"{advice} {self.config.settings.runbook}#{entry}"
