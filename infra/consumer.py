"""The consumer of one queue: the function that runs its tasks, what feeds it, and the alarm on what it gives up."""

from collections.abc import Iterable

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from celeriac.queue import Queue
from infra.alarms import dead_letter_alarm
from infra.handler import Runtime, build_handler
from infra.permissions import consume, queue_arn


class Consumer(Construct):
    """Everything that stands between a queue's messages and its tasks."""

    def __init__(
        self,
        scope: Construct,
        queue: Queue,
        *,
        runtime: Runtime,
        permissions: Iterable[iam.PolicyStatement],
        alarms: sns.ITopic,
    ) -> None:
        """Build the consumer of `queue`; `permissions` are what its tasks may do beside reading the queue."""
        super().__init__(scope, f"Consumer-{queue.name}")
        stage = runtime.config.stage
        source = queue.physical_name(stage)
        window = cdk.Duration.seconds(queue.batch_window.total_seconds()) if queue.batch_window else None
        function = build_handler(
            self,
            name=queue.function_name(stage),
            handler="consumer.handler",
            timeout=queue.timeout,
            runtime=runtime,
            permissions=[consume(source), *permissions],
        )
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=function,
            event_source_arn=queue_arn(source),
            batch_size=queue.batch_size,
            max_batching_window=window,
            max_concurrency=queue.max_concurrency,
            # The consumer reports failures this way; without it Lambda would take every batch for a success.
            report_batch_item_failures=True,
        )
        dead_letter_alarm(
            self,
            "DeadLetterAlarm",
            queue=queue.dead_letter_name(stage),
            advice=(
                f"Tasks of the queue {queue.name} failed for good and wait in {queue.dead_letter_name(stage)}. "
                "Read the reason in each message's `failure`, cure the cause, then redrive the queue or delete them; "
                f"they are kept for {queue.dead_letter_retention.days} days."
            ),
            topic=alarms,
        )
