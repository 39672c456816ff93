"""The consumer of one queue: the function, its event source mapping, and the alarms of the queue."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from celeriac.model.queue import Queue
from celeriac_cdk.constructs.handler import Runtime, Size, build_handler
from celeriac_cdk.constructs.release import release
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.metrics import measure
from celeriac_cdk.monitoring.times import in_words
from celeriac_cdk.permissions import consume, queue_arn, send


class Consumer(Construct):
    """The function that runs a queue's tasks, with its event source mapping and the alarms of the queue."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queue: Queue,
        runtime: Runtime,
        permissions: Iterable[iam.PolicyStatement],
        environment: Mapping[str, str],
        alarms: Alarms,
    ) -> None:
        """Build the consumer of `queue`. `permissions` are the rights of its tasks. The right to read is added."""
        super().__init__(scope, construct_id)
        stage = runtime.config.stage
        source = queue.physical_name(stage)
        window = cdk.Duration.seconds(queue.batch_window.total_seconds()) if queue.batch_window else None
        self.function = build_handler(
            self,
            name=queue.function_name(stage),
            handler="consumer.handler",
            timeout=queue.timeout,
            runtime=runtime,
            permissions=[consume(source), send([queue.dead_letter_name(stage)]), *permissions],
            size=Size(
                memory=queue.memory,
                storage=queue.ephemeral_storage,
                reserved=queue.reserved,
                environment={**environment, **queue.environment},
                vpc=queue.vpc,
                architecture=queue.architecture,
            ),
        )
        alarms.when_it_fails(self, function=queue.function_name(stage), entry="failing-functions")
        mapping = lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=release(self, self.function, name=queue.name, alarms=alarms),
            event_source_arn=queue_arn(source),
            batch_size=queue.batch,
            max_batching_window=window,
            max_concurrency=queue.max_concurrency,
            # The consumer reports each failed message. Without this option Lambda would count every batch as a success.
            report_batch_item_failures=True,
        )
        _set_pollers(cast("lambda_.CfnEventSourceMapping", mapping.node.default_child), queue.pollers)
        alarms.when(
            self,
            "AgeAlarm",
            name=f"{queue.name}-age",
            metric=measure("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", QueueName=source),
            reaches=int(queue.oldest_age.total_seconds()),
            times=3,
            advice=(
                f"Tasks of the queue {queue.name} wait for {in_words(queue.oldest_age)} or longer. The queue may be "
                "paused, a service that the tasks call may be slow, or the queue's concurrency may be too low for the "
                "traffic."
            ),
            entry="waiting-tasks",
        )
        alarms.when_letters(
            self,
            queue=queue.dead_letter_name(stage),
            kept=queue.dead_letter_retention,
            aged_before=queue.retention,
            advice=(
                f"Tasks of the queue {queue.name} failed for good. Their dead letters are in "
                f"{queue.dead_letter_name(stage)} for {queue.dead_letter_retention.days} days. Read the reason in each "
                "letter's `failure`, remove the cause, then redrive or discard the letters."
            ),
            entry="dead-letters",
        )


def _set_pollers(mapping: lambda_.CfnEventSourceMapping, pollers: Sequence[int] | None) -> None:
    """Set the provisioned pollers. The CDK's own way still has the limit that Lambda had before."""
    if pollers:
        fewest, most = pollers
        mapping.provisioned_poller_config = lambda_.CfnEventSourceMapping.ProvisionedPollerConfigProperty(
            minimum_pollers=fewest, maximum_pollers=most
        )
    elif pollers is not None:
        # Lambda keeps the pollers of a mapping whose update doesn't name them. An empty object gives them up. The CDK
        # would leave it out, so CloudFormation empties it.
        mapping.add_property_override("ProvisionedPollerConfig.MinimumPollers", {"Ref": "AWS::NoValue"})
