"""How many workers run: as many as the messages need that wait or are in work.

The counts are SQS's own, so no code of ours runs for it. Messages in work count too: as long as all workers work, none
is stopped. If some have nothing to do, these are stopped, because who works on something long is protected.
"""

import math
from collections.abc import Iterator

from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from celeriac.model import names
from celeriac.model.queue import Queue

# https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-limits.html
MOST_STEPS = 20
QUIET_MINUTES = 5
"""So long no message must be there before the last workers end: starting one takes a minute or two."""
_MINUTE = 60


def steps(fewest: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield from how many messages on there are how many workers: one for each message, up to `most`.

    Not one for each batch: a worker takes what is there, and polls again when that is done. What comes a minute later
    would wait for its end.

    With more numbers of workers than steps are allowed, each step adds the same factor: there are a few workers more
    than needed, and never fewer, up to `most`.
    """
    least = max(fewest, 1)
    wanted = sorted({min(most, _between(least, most, number)) for number in range(MOST_STEPS)} | {most})
    below = 0
    for workers in wanted[-MOST_STEPS:]:
        yield below + 1, workers
        below = workers


def _between(least: int, most: int, number: int) -> int:
    """The number of workers of a step: one more each time, or by a factor if there are too many numbers."""
    if most - least < MOST_STEPS:
        return least + number
    return math.ceil(least * math.pow(most / least, number / (MOST_STEPS - 1)))


def scale(scope: Construct, queue: Queue, stage: str, *, cluster: str, service: str) -> None:
    """Let the number of containers of a service follow the messages of `queue`."""
    fewest, most = queue.workers
    target = scaling.CfnScalableTarget(
        scope,
        "Workers",
        min_capacity=fewest,
        max_capacity=most,
        resource_id=f"service/{cluster}/{service}",
        scalable_dimension="ecs:service:DesiredCount",
        service_namespace="ecs",
    )
    needed = list(steps(fewest, most))
    bounds = [first - 1 for first, _ in needed]  # CloudWatch counts them from the alarm's threshold, which is 1
    busy = _policy(
        scope,
        "WhenBusy",
        target,
        [
            scaling.CfnScalingPolicy.StepAdjustmentProperty(
                scaling_adjustment=workers, metric_interval_lower_bound=lower, metric_interval_upper_bound=upper
            )
            for (_, workers), lower, upper in zip(needed, bounds, [*bounds[1:], None], strict=True)
        ],
    )
    quiet = _policy(
        scope,
        "WhenQuiet",
        target,
        [scaling.CfnScalingPolicy.StepAdjustmentProperty(scaling_adjustment=fewest, metric_interval_upper_bound=0)],
    )
    _alarm(scope, "Busy", queue, stage, busy, comparison="GreaterThanOrEqualToThreshold", minutes=1)
    _alarm(scope, "Quiet", queue, stage, quiet, comparison="LessThanThreshold", minutes=QUIET_MINUTES)


def _policy(
    scope: Construct,
    construct_id: str,
    target: scaling.CfnScalableTarget,
    adjustments: list[scaling.CfnScalingPolicy.StepAdjustmentProperty],
) -> scaling.CfnScalingPolicy:
    return scaling.CfnScalingPolicy(
        scope,
        construct_id,
        policy_name=construct_id,
        policy_type="StepScaling",
        scaling_target_id=target.ref,
        step_scaling_policy_configuration=scaling.CfnScalingPolicy.StepScalingPolicyConfigurationProperty(
            adjustment_type="ExactCapacity",
            cooldown=_MINUTE,
            metric_aggregation_type="Maximum",
            step_adjustments=adjustments,
        ),
    )


def _alarm(
    scope: Construct,
    kind: str,
    queue: Queue,
    stage: str,
    policy: scaling.CfnScalingPolicy,
    *,
    comparison: str,
    minutes: int,
) -> None:
    """Call `policy` each minute in which the count of messages is as `comparison` says. It tells nobody.

    As long as CloudWatch knows no count, the number of workers stays.
    """
    counts = {"visible": "ApproximateNumberOfMessagesVisible", "held": "ApproximateNumberOfMessagesNotVisible"}
    cloudwatch.CfnAlarm(
        scope,
        kind,
        alarm_name=f"scaling-{names.part(stage, queue.name)}-{kind.lower()}",
        alarm_description=f"Sets the number of workers of the queue {queue.name}. It tells nobody.",
        comparison_operator=comparison,
        threshold=1,
        evaluation_periods=minutes,
        treat_missing_data="ignore",
        alarm_actions=[policy.ref],
        metrics=[
            cloudwatch.CfnAlarm.MetricDataQueryProperty(id="messages", expression="visible + held", label="messages"),
            *(
                cloudwatch.CfnAlarm.MetricDataQueryProperty(
                    id=id_,
                    return_data=False,
                    metric_stat=cloudwatch.CfnAlarm.MetricStatProperty(
                        metric=cloudwatch.CfnAlarm.MetricProperty(
                            namespace="AWS/SQS",
                            metric_name=metric,
                            dimensions=[
                                cloudwatch.CfnAlarm.DimensionProperty(
                                    name="QueueName", value=queue.physical_name(stage)
                                )
                            ],
                        ),
                        period=_MINUTE,
                        stat="Maximum",
                    ),
                )
                for id_, metric in counts.items()
            ),
        ],
    )
