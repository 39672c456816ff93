"""The alarms of a queue, whoever runs its tasks: tasks that wait for too long, and dead letters."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from celeriac.model.queue import Queue
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.metrics import FIVE_MINUTES, measure
from celeriac_cdk.monitoring.notice import Notice
from celeriac_cdk.monitoring.times import in_words


def watch_queue(scope: Construct, queue: Queue, alarms: Alarms) -> None:
    """Build the alarms into `scope`."""
    stage = alarms.config.stage
    workers = "its containers too few" if queue.is_on_fargate else "Lambda throttled"
    letters, type_ = queue.dead_letter_name(stage), f"`celeriac --stage {stage}"
    alarms.when(
        scope,
        "AgeAlarm",
        name=f"{queue.name}-age",
        metric=measure("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", QueueName=queue.physical_name(stage)),
        reaches=int(queue.oldest_age.total_seconds()),
        times=(3, 3),
        page=queue.urgent,
        notice=Notice(
            f"Tasks of the queue {queue.name} have waited for {in_words(queue.oldest_age)} or longer.",
            f"The queue may be paused, {workers}, a service that the tasks call slow, or the traffic too much for the "
            f"queue's concurrency. SQS deletes a message after {in_words(queue.retention)}.",
            f"Type {type_} queues`, then {type_} doctor`.",
            "no task has waited for so long",
            "waiting-tasks",
        ),
    )
    alarms.when_letters(
        scope,
        queue=letters,
        page=queue.urgent,
        notice=Notice(
            f"Tasks of the queue {queue.name} have failed for good: their dead letters are in {letters}.",
            "Each letter says why, in `failure`. SQS keeps it for "
            f"{in_words(queue.dead_letter_retention - queue.retention)} at least.",
            f"Type {type_} dlq list {queue.name}`, remove the cause, then {type_} dlq redrive {queue.name}`.",
            "no letter is left. Until then it can't tell of another one",
            "dead-letters",
        ),
    )
    alarms.before_letters_are_deleted(
        scope,
        queue=letters,
        kept=queue.dead_letter_retention,
        aged_before=queue.retention,
        do=(
            f"Type {type_} dlq list {queue.name}`, then redrive or discard, or keep the letters: "
            f"{type_} dlq export {queue.name} FILE`."
        ),
    )


def watch_containers(scope: Construct, queue: Queue, alarms: Alarms) -> None:
    """Build the alarm for tasks that no container takes: of those that can't start, ECS tells nobody."""
    source = queue.physical_name(alarms.config.stage)

    def of_sqs(metric: str, statistic: str) -> cloudwatch.Metric:
        return measure("AWS/SQS", metric, statistic, period=FIVE_MINUTES, QueueName=source)

    type_ = f"`celeriac --stage {alarms.config.stage}"
    alarms.when(
        scope,
        "UnattendedAlarm",
        name=f"{queue.name}-unattended",
        metric=cloudwatch.MathExpression(
            expression="IF(visible > 0 AND held < 1 AND received < 1, 1, 0)",
            using_metrics={
                "visible": of_sqs("ApproximateNumberOfMessagesVisible", "Minimum"),
                "held": of_sqs("ApproximateNumberOfMessagesNotVisible", "Maximum"),
                "received": of_sqs("NumberOfMessagesReceived", "Sum"),
            },
            period=cdk.Duration.seconds(FIVE_MINUTES.total_seconds()),
            label="tasks wait, and nobody receives them",
        ),
        reaches=1,
        times=(5, 5),
        page=queue.urgent,
        notice=Notice(
            f"For 25 minutes tasks of the queue {queue.name} have waited, and no container has received one.",
            "The queue may be paused; or its containers can't start or can't reach AWS: the image, the network, the "
            f"release. Messages wait. SQS deletes one after {in_words(queue.retention)}.",
            f"Type {type_} doctor`: it has what ECS says last.",
            "one is received",
            "waiting-tasks",
        ),
    )
