"""The consumer of one queue: the function, its event source mapping, and the alarms of the queue."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from celeriac.model import lambda_timeouts
from celeriac.model.queue import Queue
from celeriac_cdk.constructs.handler import Runtime, Size, build_handler
from celeriac_cdk.constructs.release import release
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.metrics import FIVE_MINUTES, MINUTE, measure
from celeriac_cdk.monitoring.notice import Notice
from celeriac_cdk.monitoring.queue_alarms import watch_queue
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
            handler="celeriac.entry.consumer.handler",
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
                python=queue.runtime,
            ),
        )
        if queue.timeout > lambda_timeouts.DOCUMENTED:
            # The CDK's own rule knows the documented limit only.
            reason = f"the timeout stands on {lambda_timeouts.LIMITS[queue.timeout_stands_on].source}"
            acknowledgement = cdk.Acknowledgment(id="CloudFormation-Validate::E3717", reason=reason)
            cdk.Validations.of(self.function).acknowledge(acknowledgement)
        self.role, self.log_group = cast("iam.Role", self.function.role), self.function.log_group
        self._alarms(queue, alarms)
        target = release(self, self.function, name=queue.name, alarms=alarms)
        self.alias = target if isinstance(target, lambda_.Alias) else None
        mapping = self.mapping = lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=target,
            event_source_arn=queue_arn(source),
            batch_size=queue.batch,
            max_batching_window=window,
            max_concurrency=queue.max_concurrency,
            # The consumer reports each failed message. Without this option Lambda would count every batch as a success.
            report_batch_item_failures=True,
        )
        _set_pollers(cast("lambda_.CfnEventSourceMapping", mapping.node.default_child), queue.pollers)

    def _alarms(self, queue: Queue, alarms: Alarms) -> None:
        stage = alarms.config.stage
        function = queue.function_name(stage)
        type_ = f"`celeriac --stage {stage}"
        # A worker that dies hides its messages for their visibility timeout, so failures may be that far apart, and
        # the next delivery is never quite on time.
        period = max(FIVE_MINUTES, math.ceil(1.25 * queue.visibility / MINUTE) * MINUTE)
        means = "Messages wait and are not lost; a task that kills three workers becomes a dead letter."
        alarms.when_it_fails(self, function=function, means=means, times=(3, period), page=queue.urgent)
        alarms.when(
            self,
            "ThrottleAlarm",
            name=f"{queue.name}-throttles",
            metric=measure("AWS/Lambda", "Throttles", "Sum", period=FIVE_MINUTES, FunctionName=function),
            reaches=1,
            times=(3, 3),  # a short throttle needs nobody
            # If the whole account is throttled, the sweeper's silence is the page, once for all queues.
            page=False,
            notice=Notice(
                f"For 15 minutes Lambda has refused invocations of {function}.",
                f"Its reserved concurrency, or that of the account, is used up. Messages wait, and {_fate(queue)}.",
                f"Type {type_} doctor`, then {type_} queues`.",
                "none is refused for five minutes",
                "throttled-functions",
            ),
        )
        watch_queue(self, queue, alarms)


def _fate(queue: Queue) -> str:
    """What becomes of messages whose consumer stays throttled."""
    if queue.survives < queue.retention:
        return f"after {in_words(queue.survives)} SQS moves them to the dead-letter queue"
    return f"after {in_words(queue.retention)} SQS deletes them"


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
