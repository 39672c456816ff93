"""The state of a stage: queues, tables and buckets that hold accepted messages and their records."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from celeriac import Task
from celeriac.enqueue.outbox_row import WAITING
from celeriac.flow import breaker, rows
from celeriac.leases import history
from celeriac.model import declared, names, payload
from celeriac.model.queue import Queue, keep_history
from celeriac.model.stages import KMS_OUTPUT
from celeriac.model.table import Table
from celeriac_cdk.config import BuildState, StageConfig
from celeriac_cdk.constructs import aws_events
from celeriac_cdk.constructs.access import Access
from celeriac_cdk.constructs.bucket import private_bucket
from celeriac_cdk.constructs.function_logs import FunctionLogs
from celeriac_cdk.constructs.key import encrypting, stage_key
from celeriac_cdk.constructs.schedules import Schedules
from celeriac_cdk.constructs.table import string_key_table
from celeriac_cdk.constructs.task_queue import TaskQueue, sqs_queue
from celeriac_cdk.monitoring.topics import Topics, build_topics
from celeriac_cdk.nag import acknowledge


class State(Construct):
    """What outlives the code of a stage: deploy it before the work, delete it after it.

    Its id is `Default` in a stack of Celeriac's own, and the CDK leaves such an id out of logical ids.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        config: StageConfig,
        *,
        queues: Sequence[Queue],
        tables: Sequence[Table],
        tasks: Sequence[Task[..., Any, Any]],
        application: BuildState | None = None,
        topics: Topics | None = None,
    ) -> None:
        """Build the queues, tables and bucket of the stage, and the constructs of `application`.

        tasks: they tell which producers need more than to send.
        topics: those that the alarms go to, if the stage needs none of its own.
        """
        super().__init__(scope, construct_id)
        self.key = stage_key(self, config)
        key = encrypting(self.key, config)
        cdk.CfnOutput(self, KMS_OUTPUT, value=kms_state(config), description="on, prepared or off")
        self.queues = {
            queue.name: TaskQueue(self, f"Queue-{queue.name}", queue=queue, config=config, key=key) for queue in queues
        }
        relay_dead_letters = names.relay_dead_letters(config.stage)
        given_up = sqs_queue(self, "RelayDeadLetters", name=relay_dead_letters, config=config, key=key)
        acknowledge(given_up, "SQS3", "this queue is the dead-letter queue of the relay's event source mapping")
        Schedules(self, "Schedules", queues=queues, config=config, key=self.key)
        aws_events.receive(self, self.queues, tasks, config, key)
        self.outbox = outbox = string_key_table(
            self,
            "Outbox",
            name=names.outbox_table(config.stage),
            key="pk",
            sort_key="sk",
            expiry="expires_at",
            stream=dynamodb.StreamViewType.NEW_IMAGE,
            config=config,
            encryption_key=key,
        )
        string = dynamodb.AttributeType.STRING
        outbox.add_global_secondary_index(
            index_name=names.outbox_index(),
            partition_key=dynamodb.Attribute(name=WAITING, type=string),
            sort_key=dynamodb.Attribute(name="occurred_at", type=string),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        self.bus: events.EventBus | None = None
        if declared.outbox().bus:
            # The outbox keeps the events, so no event is lost when the bus is deleted.
            bus_dead_letters = names.bus_dead_letters(config.stage)
            undelivered = sqs_queue(self, "BusDeadLetters", name=bus_dead_letters, config=config, key=key)
            acknowledge(undelivered, "SQS3", "this queue is the dead-letter queue of the stage's bus")
            bus = self.bus = events.EventBus(
                self,
                "Bus",
                event_bus_name=names.bus(config.stage),
                kms_key=key,
                # For events that can't be encrypted, or sent on because of the key. Each rule has its own beside it.
                dead_letter_queue=undelivered,
            )
            undelivered.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal("events.amazonaws.com")],
                    actions=["sqs:SendMessage"],
                    resources=[undelivered.queue_arn],
                    conditions={"ArnEquals": {"aws:SourceArn": bus.event_bus_arn}},
                )
            )
        self.records = string_key_table(
            self,
            "Idempotency",
            name=names.idempotency_table(config.stage),
            key="id",
            expiry="expiration",
            config=config,
            encryption_key=key,
        )
        if keep_history(queues):
            self.records.add_global_secondary_index(
                index_name=names.runs_index(),
                partition_key=dynamodb.Attribute(name=history.RUN_OF, type=string),
                sort_key=dynamodb.Attribute(name=history.ENDED_AT, type=dynamodb.AttributeType.NUMBER),
                projection_type=dynamodb.ProjectionType.INCLUDE,
                non_key_attributes=[*history.LISTED],
            )
        # Every stage has it: the first limit of a task must not wait for a table, nor the last one leave one behind.
        self.flow = string_key_table(
            self,
            "Flow",
            name=names.flow_table(config.stage),
            key=rows.KEY,
            expiry=rows.EXPIRES_AT,
            config=config,
            encryption_key=key,
        )
        # Only open breakers and batches that haven't ended have its attributes, so it is empty nearly always.
        self.flow.add_global_secondary_index(
            index_name=names.flow_index(),
            partition_key=dynamodb.Attribute(name=breaker.DUE, type=string),
            sort_key=dynamodb.Attribute(name=breaker.DUE_AT, type=string),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        # The table has a stream, so this ARN is never None.
        self.outbox_stream_arn = cast("str", outbox.table_stream_arn)
        self.payloads = self._payloads(config, payload.lifetimes(queues, declared.outbox().retention))
        own = application(self, config, key) if application is not None else Construct(self, "Application")
        self.tables = {
            table.name: string_key_table(
                own,
                f"Table-{table.name}",
                name=table.physical_name(config.stage),
                key=table.key,
                config=config,
                encryption_key=key,
            )
            for table in tables
        }
        FunctionLogs(self, "Logs", queues=queues, config=config, key=key)
        if config.watched:
            build_topics(self, config, key, given=topics)
        Access(self, "Access", queues=queues, tasks=tasks, config=config, key=self.key)

    def _payloads(self, config: StageConfig, lifetimes: Mapping[str, timedelta]) -> s3.Bucket:
        """Build the bucket for payloads that SQS can't carry. It keeps each as long as a message can point to it."""
        bucket = private_bucket(
            self,
            "Payloads",
            name=names.payload_bucket(config.stage, cdk.Aws.ACCOUNT_ID, cdk.Aws.REGION),
            config=config,
            encryption_key=encrypting(self.key, config),
            lifecycle_rules=[_expire(after, prefix) for prefix, after in lifetimes.items()],
        )
        for queue, accounts in config.settings.producers.items():
            bucket.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.AccountPrincipal(account) for account in accounts],
                    actions=["s3:PutObject"],
                    resources=[bucket.arn_for_objects(f"{payload.ARGS}{queue}/*")],
                )
            )
        return bucket


def kms_state(config: StageConfig) -> str:
    """What the stack says of its key, for the next deploy: `on`, `prepared` or `off`."""
    return "on" if config.encrypts else "prepared" if config.has_key else "off"


def _expire(after: timedelta, prefix: str) -> s3.LifecycleRule:
    return s3.LifecycleRule(expiration=cdk.Duration.days(math.ceil(after / timedelta(days=1))), prefix=prefix)
