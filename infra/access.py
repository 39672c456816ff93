"""Two managed policies to attach to roles and people outside: for whatever enqueues tasks, and for operators."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from celeriac import names, registry
from celeriac.queue import Queue
from celeriac.table import Table
from infra import permissions
from infra.config import StageConfig
from infra.key import use_key
from infra.nag import acknowledge_wildcard
from infra.permissions import arn, queue_arn


class Access(Construct):
    """`celeriac-<stage>-producer-<region>` and `celeriac-<stage>-operator-<region>`.

    They stand with the queues, so that they stay attached whatever becomes of the functions.
    """

    def __init__(
        self,
        scope: Construct,
        queues: Sequence[Queue],
        tables: Sequence[Table],
        config: StageConfig,
        key: kms.IKey | None,
    ) -> None:
        """Build both policies."""
        super().__init__(scope, "Access")
        stage = config.stage
        produce = [
            permissions.send([queue.physical_name(stage) for queue in queues]),
            permissions.leave_payloads(stage),
            *permissions.schedule(stage),
            permissions.append_events(names.outbox_table(stage)),
            *use_key(key),
        ]
        self._policy("producer", "Enqueues tasks and emits events, and sees none", produce, stage)
        self._policy(
            "operator",
            "Whatever the command `celeriac` does",
            [*produce, *permissions.store_payloads(stage), *_operate(queues, tables, stage)],
            stage,
        )
        reasons = {
            permissions.payload_objects(stage): "payloads are named when they are stored",
            permissions.schedules(stage): "schedules are named when they are made; the group is the stage's own",
            _MAPPINGS: "mappings are named when they are made; the condition bounds them to the stage's functions",
            _stacks(stage): "CloudFormation ends a stack's ARN in an id of its own",
            "*": "sqs:ListQueues, lambda:ListEventSourceMappings and CloudWatch's reads name no resource",
        }
        for resource, reason in reasons.items():
            acknowledge_wildcard(self, resource, reason)
        for function in _functions(queues, stage):
            acknowledge_wildcard(self, _log(function), "a log group's streams are named when functions run")

    def _policy(self, role: str, description: str, statements: Sequence[iam.PolicyStatement], stage: str) -> None:
        """Names of policies are global in an account, hence the region."""
        iam.ManagedPolicy(
            self,
            role.title(),
            managed_policy_name=f"{names.prefix(stage)}-{role}-{cdk.Aws.REGION}",
            description=f"Celeriac {stage}: {description}",
            statements=statements,
        )


_MAPPINGS = arn("lambda", "event-source-mapping:*")


def _operate(queues: Sequence[Queue], tables: Sequence[Table], stage: str) -> list[iam.PolicyStatement]:
    letters = [queue.dead_letter_name(stage) for queue in queues]
    ours = [names.relay_dead_letters(stage), names.schedule_dead_letters(stage)]
    every = [*(queue.physical_name(stage) for queue in queues), *letters, *ours]
    records, outbox = names.idempotency_table(stage), names.outbox_table(stage)
    kept = [arn("dynamodb", f"table/{table}") for table in (records, outbox)]
    own = [arn("dynamodb", f"table/{table.physical_name(stage)}") for table in tables]
    functions = _functions(queues, stage)
    return [
        permissions.send([*letters, *ours]),
        _allow("sqs:GetQueueAttributes", on=[queue_arn(name) for name in every]),
        _allow(
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            # SQS's own redrive.
            "sqs:StartMessageMoveTask",
            "sqs:ListMessageMoveTasks",
            "sqs:CancelMessageMoveTask",
            on=[queue_arn(name) for name in [*letters, *ours]],
        ),
        _allow("dynamodb:DescribeTable", on=[*kept, *own]),
        _allow("dynamodb:GetItem", "dynamodb:Scan", "dynamodb:UpdateItem", "dynamodb:BatchGetItem", on=kept),
        _allow("dynamodb:Query", on=[f"{kept[1]}/index/{names.outbox_index()}"]),
        *([permissions.put_events(names.bus(stage))] if registry.outbox().bus else []),
        iam.PolicyStatement(
            actions=["lambda:UpdateEventSourceMapping"],
            resources=[_MAPPINGS],
            conditions={"ArnLike": {"lambda:FunctionArn": [arn("lambda", f"function:{name}*") for name in functions]}},
        ),
        _allow("logs:FilterLogEvents", on=[_log(name) for name in functions]),
        _allow("cloudformation:DescribeStacks", on=[_stacks(stage)]),
        _allow(
            "sqs:ListQueues",
            "lambda:ListEventSourceMappings",
            "cloudwatch:DescribeAlarms",
            "cloudwatch:GetMetricStatistics",
            on=["*"],
        ),
    ]


def _functions(queues: Sequence[Queue], stage: str) -> list[str]:
    consumers = [queue.function_name(stage) for queue in queues]
    return [*consumers, names.relay_function(stage), names.sweeper_function(stage)]


def _log(function: str) -> str:
    return arn("logs", f"log-group:/aws/lambda/{function}:*")


def _stacks(stage: str) -> str:
    return arn("cloudformation", f"stack/{names.prefix(stage)}-*/*")


def _allow(*actions: str, on: Sequence[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=list(on))
