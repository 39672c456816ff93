"""The dashboard of a stage: waiting messages, failures, dead letters, durations, the outbox, and schedules."""

from collections.abc import Callable, Sequence
from itertools import batched

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from celeriac.model import names
from celeriac.model.limits import Breaker, Limit
from celeriac.model.queue import Queue
from celeriac.observe.metric_names import Metric
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.metrics import measure, of_limit

type Graph = tuple[str, list[cloudwatch.IMetric]]
"""A title, and the metrics to draw."""
_WIDTH = 12
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
_OF_SCHEDULES = ("InvocationAttemptCount", "InvocationThrottleCount", "TargetErrorCount", "InvocationDroppedCount")
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
_ALARMS_IN_A_WIDGET = 100


def dashboard(
    scope: Construct, queues: Sequence[Queue], limits: Sequence[Limit], alarms: Alarms
) -> cloudwatch.Dashboard:
    """Build the dashboard `<application>-<stage>--<region>`.

    Most graphs have a line for each queue, to show an unusual queue. Those of limits are there if any is declared.
    """
    stage = alarms.config.stage
    made = cloudwatch.Dashboard(
        scope, "Dashboard", dashboard_name=names.part(stage, cdk.Aws.REGION), default_interval=cdk.Duration.hours(3)
    )
    raised = sorted(alarms.raised, key=lambda alarm: alarm.node.path)
    for some in batched(raised, _ALARMS_IN_A_WIDGET):
        made.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(some), width=2 * _WIDTH, height=6))
    for row in batched([*_graphs(queues, stage), *_graphs_of_limits(limits, stage)], 2):
        made.add_widgets(*(_drawn(title, metrics) for title, metrics in row))
    return made


def _graphs(queues: Sequence[Queue], stage: str) -> list[Graph]:
    def each(metric: Callable[[Queue], cloudwatch.Metric]) -> list[cloudwatch.IMetric]:
        return [metric(queue).with_(label=queue.name) for queue in queues]

    def tasks(metric: Metric, statistic: str = "Sum") -> list[cloudwatch.IMetric]:
        return each(
            lambda queue: measure(
                names.METRICS, metric, statistic, service="tasks", stage=names.prefix(stage), queue=queue.name
            )
        )

    def source(metric: str) -> list[cloudwatch.IMetric]:
        return each(lambda queue: measure("AWS/SQS", metric, "Maximum", QueueName=queue.physical_name(stage)))

    def letters(metric: str) -> list[cloudwatch.IMetric]:
        return each(lambda queue: measure("AWS/SQS", metric, "Maximum", QueueName=queue.dead_letter_name(stage)))

    def function(metric: str, statistic: str = "Sum") -> list[cloudwatch.IMetric]:
        functions = [queue for queue in queues if not queue.is_on_fargate]
        return [
            measure("AWS/Lambda", metric, statistic, FunctionName=queue.function_name(stage)).with_(label=queue.name)
            for queue in functions
        ]

    def outbox(metric: Metric) -> cloudwatch.Metric:
        return measure(names.METRICS, metric, "Maximum", service="outbox", stage=names.prefix(stage))

    def scheduled(metric: str) -> cloudwatch.Metric:
        return measure("AWS/Scheduler", metric, "Sum", ScheduleGroup=names.schedule_group(stage))

    delayed = measure(names.METRICS, Metric.DELAYED, "Maximum", service="tasks", stage=names.prefix(stage))
    unpublished: list[cloudwatch.IMetric] = [outbox(Metric.UNPUBLISHED_AGE), outbox(Metric.PARKED_EVENTS)]
    relay_lag = measure("AWS/Lambda", "IteratorAge", "Maximum", FunctionName=names.relay_function(stage))
    graphs: list[Graph] = [
        ("Waiting messages", source("ApproximateNumberOfMessagesVisible")),
        ("Age of the oldest waiting message, seconds", source("ApproximateAgeOfOldestMessage")),
        ("Succeeded", tasks(Metric.SUCCEEDED)),
        ("Failed attempts with a retry", tasks(Metric.RETRIED)),
        ("Dead letters", letters("ApproximateNumberOfMessagesVisible")),
        ("New dead letters", tasks(Metric.DEAD_LETTERED)),
        ("Duration of attempts, p95, milliseconds", [_slow_tasks(stage)]),
        ("From enqueue to start, p95, seconds", tasks(Metric.AGE_AT_START, "p95")),
        ("Failed invocations", function("Errors")),
        ("Lost workers", tasks(Metric.WORKER_LOST)),
        ("Concurrent invocations", function("ConcurrentExecutions", "Maximum")),
        ("Throttled", function("Throttles")),
        ("Outbox: age of the oldest unpublished row, seconds; parked rows", unpublished),
        ("Relay: delay behind its stream, milliseconds", [relay_lag]),
        ("Delayed tasks that wait in schedules, up to 1,000", [delayed]),
        ("Schedules: sends, throttled, failed and given up", [scheduled(each) for each in _OF_SCHEDULES]),
    ]
    return [(title, metrics) for title, metrics in graphs if metrics]


def _graphs_of_limits(limits: Sequence[Limit], stage: str) -> list[Graph]:
    breakers = [limit for limit in limits if isinstance(limit, Breaker)]
    waited = [of_limit(Metric.WAITED, "Sum", stage, limit.name).with_(label=limit.name) for limit in limits]
    open_ = [of_limit(Metric.OPEN_BREAKERS, "Maximum", stage, one.name).with_(label=one.name) for one in breakers]
    graphs: list[Graph] = [("Tasks that had to wait for a limit, by limit", [*waited]), ("Open breakers", [*open_])]
    return [(title, lines) for title, lines in graphs if lines]


def _slow_tasks(stage: str) -> cloudwatch.IMetric:
    """Return a search for all tasks, because releases add and remove tasks."""
    found = f'{{{names.METRICS},queue,service,stage,task}} MetricName="{Metric.DURATION}" stage="{names.prefix(stage)}"'
    return cloudwatch.MathExpression(
        expression=f"SEARCH('{found}', 'p95')", using_metrics={}, label="", period=cdk.Duration.minutes(5)
    )


def _drawn(title: str, metrics: Sequence[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=metrics, width=_WIDTH, left_y_axis=cloudwatch.YAxisProps(min=0))
