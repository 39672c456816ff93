"""A declared queue in SQS, with its dead-letter queue."""

from datetime import timedelta

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from celeriac.model.queue import MAX_RETENTION, Queue
from celeriac_cdk.config import StageConfig
from celeriac_cdk.permissions import queue_arn


class TaskQueue(Construct):
    """The queue and its dead-letter queue, with the declared times and limits."""

    def __init__(
        self, scope: Construct, construct_id: str, *, queue: Queue, config: StageConfig, key: kms.IKey | None
    ) -> None:
        """Build both as `queue` declares them."""
        super().__init__(scope, construct_id)
        dead_letters = self.dead_letters = sqs_queue(
            self,
            "DeadLetters",
            name=queue.dead_letter_name(config.stage),
            retention=queue.dead_letter_retention,
            config=config,
            key=key,
            # No other queue of the account may use it as its dead-letter queue.
            of=sqs.Queue.from_queue_arn(self, "OfSource", queue_arn(queue.physical_name(config.stage))),
        )
        source = self.source = sqs_queue(
            self,
            "Source",
            name=queue.physical_name(config.stage),
            retention=queue.retention,
            config=config,
            key=key,
            visibility=queue.visibility,
            redrive=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=queue.receive_limit),
        )
        for account in config.settings.producers.get(queue.name, ()):
            source.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.AccountPrincipal(account)],
                    actions=["sqs:SendMessage", "sqs:GetQueueUrl"],
                    resources=[source.queue_arn],
                )
            )


def sqs_queue(
    scope: Construct,
    construct_id: str,
    *,
    name: str,
    config: StageConfig,
    key: kms.IKey | None,
    retention: timedelta = MAX_RETENTION,
    visibility: timedelta | None = None,
    redrive: sqs.DeadLetterQueue | None = None,
    of: sqs.IQueue | None = None,
) -> sqs.Queue:
    """Build an encrypted queue that refuses plain HTTP. A name that ends in `.fifo` makes it a FIFO queue.

    FIFO queues run in high-throughput mode: SQS keeps the order and removes copies only within a message group. A
    task's group promises no more. SQS knows a copy by the producer's id and not by its content, because two tasks with
    equal arguments are two tasks.
    """
    fifo = name.endswith(".fifo")
    return sqs.Queue(
        scope,
        construct_id,
        queue_name=name,
        fifo=True if fifo else None,
        deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP if fifo else None,
        fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID if fifo else None,
        retention_period=cdk.Duration.seconds(retention.total_seconds()),
        visibility_timeout=None if visibility is None else cdk.Duration.seconds(visibility.total_seconds()),
        dead_letter_queue=redrive,
        redrive_allow_policy=None if of is None else sqs.RedriveAllowPolicy(source_queues=[of]),
        encryption=sqs.QueueEncryption.SQS_MANAGED if key is None else sqs.QueueEncryption.KMS,
        encryption_master_key=key,
        # The longest time that SQS allows. A request to KMS for each message would cost more than the messages.
        data_key_reuse=None if key is None else cdk.Duration.days(1),
        enforce_ssl=True,
        removal_policy=config.removal_policy,
    )
