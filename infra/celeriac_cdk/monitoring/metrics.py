"""CloudWatch metrics for the alarms and the dashboard."""

from datetime import timedelta

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from celeriac.model import names
from celeriac.observe.metric_names import Metric

MINUTE, FIVE_MINUTES = timedelta(minutes=1), timedelta(minutes=5)


def measure(
    namespace: str, metric: str, statistic: str, *, period: timedelta = MINUTE, **dimensions: str
) -> cloudwatch.Metric:
    """Return a CloudWatch metric."""
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=metric,
        dimensions_map=dimensions,
        statistic=statistic,
        period=cdk.Duration.seconds(period.total_seconds()),
    )


def stage_metric(metric: Metric, statistic: str, stage: str, *, period: timedelta = MINUTE) -> cloudwatch.Metric:
    """Return a metric that the sweeper writes."""
    return measure(names.METRICS, metric, statistic, period=period, service="outbox", stage=names.prefix(stage))


def of_limit(
    metric: Metric, statistic: str, stage: str, limit: str, *, period: timedelta = MINUTE
) -> cloudwatch.Metric:
    """Return a metric that is written by limit."""
    return measure(
        names.METRICS, metric, statistic, period=period, service="tasks", stage=names.prefix(stage), limit=limit
    )
