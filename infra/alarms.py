"""Alarms: a message in a dead-letter queue is never silent."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from celeriac import names
from infra.config import StageConfig


def alarm_topic(scope: Construct, config: StageConfig) -> sns.Topic:
    """Build the topic that all alarms of the stage go to, with the configured address as its subscriber."""
    topic = sns.Topic(scope, "Alarms", topic_name=f"{names.prefix(config.stage)}-alarms", enforce_ssl=True)
    # A policy of its own replaces SNS's default one, which is what lets CloudWatch publish.
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


def dead_letter_alarm(scope: Construct, construct_id: str, *, queue: str, advice: str, topic: sns.ITopic) -> None:
    """Raise an alarm while anything is in the dead-letter queue named `queue`.

    It watches the depth: the count of sent messages misses what SQS's own redrive policy moves.
    """
    metric = cloudwatch.Metric(
        namespace="AWS/SQS",
        metric_name="ApproximateNumberOfMessagesVisible",
        dimensions_map={"QueueName": queue},
        statistic="Maximum",
        period=cdk.Duration.minutes(1),
    )
    _alarm_from(1, metric, scope, construct_id, name=queue, advice=advice).add_alarm_action(actions.SnsAction(topic))


def outbox_alarm(
    scope: Construct,
    construct_id: str,
    *,
    stage: str,
    metric: str,
    threshold: float,
    advice: str,
    topic: sns.ITopic,
) -> None:
    """Raise an alarm while what the sweeper measures each minute is at `threshold` or above."""
    name = f"{names.prefix(stage)}-outbox-{metric}"
    measured = _outbox_metric(stage, metric, "Maximum")
    alarm = _alarm_from(threshold, measured, scope, construct_id, name=name, advice=advice)
    alarm.add_alarm_action(actions.SnsAction(topic))


def silence_alarm(
    scope: Construct, construct_id: str, *, stage: str, metric: str, advice: str, topic: sns.ITopic
) -> None:
    """Raise an alarm when the sweeper hasn't measured `metric` for five minutes."""
    alarm = cloudwatch.Alarm(
        scope,
        construct_id,
        alarm_name=f"{names.prefix(stage)}-outbox-silence",
        alarm_description=advice,
        metric=_outbox_metric(stage, metric, "SampleCount"),
        threshold=1,
        evaluation_periods=5,
        comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
    )
    alarm.add_alarm_action(actions.SnsAction(topic))


def _alarm_from(
    threshold: float, metric: cloudwatch.Metric, scope: Construct, construct_id: str, *, name: str, advice: str
) -> cloudwatch.Alarm:
    """An alarm that rings while `metric` is at `threshold` or above; what isn't measured is well."""
    return cloudwatch.Alarm(
        scope,
        construct_id,
        alarm_name=name,
        alarm_description=advice,
        metric=metric,
        threshold=threshold,
        evaluation_periods=1,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )


def _outbox_metric(stage: str, metric: str, statistic: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=names.METRICS,
        metric_name=metric,
        dimensions_map={"service": "outbox", "stage": stage},
        statistic=statistic,
        period=cdk.Duration.minutes(1),
    )
