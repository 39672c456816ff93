"""Managed policies for roles and users outside the stacks: to enqueue tasks, to read their status, to operate."""

from collections.abc import Sequence
from itertools import batched

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from celeriac.model import declared, names
from celeriac.model.queue import Queue
from celeriac.model.table import Table
from celeriac_cdk import permissions
from celeriac_cdk.config import StageConfig
from celeriac_cdk.constructs.key import use_key
from celeriac_cdk.nag import acknowledge_wildcard
from celeriac_cdk.permissions import arn, queue_arn


class Access(Construct):
    """The managed policies `<application>-<stage>--producer-<region>`, `-reader-<region>` and `-operator-<region>`.

    The size of a policy is limited, so eight queues share a policy `...--operator-queues-<n>-<region>`.

    The policies are in the stack of the queues, so that they stay attached if the functions are deleted.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queues: Sequence[Queue],
        tables: Sequence[Table],
        config: StageConfig,
        key: kms.IKey | None,
    ) -> None:
        """Build the policies."""
        super().__init__(scope, construct_id)
        stage = config.stage
        produce = [
            permissions.leave_payloads(stage),
            *permissions.schedule(stage),
            permissions.append_events(names.outbox_table(stage)),
            permissions.order_events(names.idempotency_table(stage)),
            *use_key(key, through=("dynamodb", "s3", "scheduler", "sqs")),
        ]
        send = permissions.send([queue.physical_name(stage) for queue in queues])
        self._policy("producer", "Enqueues tasks and emits events; reads nothing", [send, *produce], stage)
        look = permissions.read_status(
            names.idempotency_table(stage), [queue.dead_letter_name(stage) for queue in queues]
        )
        look += use_key(key, through=("dynamodb", "sqs"))
        self._policy("reader", "Asks for the status and result of tasks", look, stage)
        operate = [*produce, *permissions.store_payloads(stage), *_operate_stage(tables, stage)]
        self._policy("operator", "The rights of the command `celeriac`, except those on queues", operate, stage)
        for number, some in enumerate(batched(queues, _QUEUES_IN_A_POLICY, strict=False), start=1):
            self._policy(f"operator-queues-{number}", "Operates these queues", _operate_queues(some, stage), stage)
        reasons = {
            **dict.fromkeys(
                [permissions.payload_objects(stage), *permissions.argument_objects(stage)],
                "the name of a payload is known only when it is stored",
            ),
            permissions.schedules(stage): "the name of a schedule is known only when it is created; the group is fixed",
            _MAPPINGS: "the id of a mapping is known only when it is created; a condition names the stage's functions",
            _stacks(stage): "CloudFormation adds an id to a stack's ARN",
            "*": "sqs:ListQueues, lambda:ListEventSourceMappings and the reads of CloudWatch have no resource to name",
        }
        for resource, reason in reasons.items():
            acknowledge_wildcard(self, resource, reason)
        for function in _functions(queues, stage):
            acknowledge_wildcard(self, _log(function), "the names of log streams are known only when functions run")

    def _policy(self, role: str, description: str, statements: Sequence[iam.PolicyStatement], stage: str) -> None:
        """Build a policy. Its name has the region, because names of policies are global in an account."""
        iam.ManagedPolicy(
            self,
            role.title().replace("-", ""),
            managed_policy_name=names.part(stage, f"{role}-{cdk.Aws.REGION}"),
            description=f"Celeriac {stage}: {description}",
            statements=statements,
        )


# A managed policy has at most 6,144 characters. The names of one queue take about 450 characters at most:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_QUEUES_IN_A_POLICY = 8
_MAPPINGS = arn("lambda", "event-source-mapping:*")


def _operate_stage(tables: Sequence[Table], stage: str) -> list[iam.PolicyStatement]:
    kept = [arn("dynamodb", f"table/{table}") for table in (names.idempotency_table(stage), names.outbox_table(stage))]
    own = [arn("dynamodb", f"table/{table.physical_name(stage)}") for table in tables]
    return [
        _work_off([names.relay_dead_letters(stage), names.schedule_dead_letters(stage)]),
        _allow("dynamodb:DescribeTable", on=[*kept, *own]),
        _allow("dynamodb:GetItem", "dynamodb:Scan", "dynamodb:UpdateItem", "dynamodb:BatchGetItem", on=kept),
        _allow("dynamodb:DeleteItem", on=kept[:1]),
        permissions.look_at_schedules(stage),
        _allow("dynamodb:Query", on=[f"{kept[1]}/index/{names.outbox_index()}"]),
        *([permissions.put_events(names.bus(stage))] if declared.outbox().bus else []),
        _allow("logs:FilterLogEvents", on=[_log(names.relay_function(stage)), _log(names.sweeper_function(stage))]),
        _allow("cloudformation:DescribeStacks", on=[_stacks(stage)]),
        _allow(
            "sqs:ListQueues",
            "lambda:ListEventSourceMappings",
            "cloudwatch:DescribeAlarms",
            "cloudwatch:GetMetricStatistics",
            on=["*"],
        ),
    ]


def _operate_queues(queues: Sequence[Queue], stage: str) -> list[iam.PolicyStatement]:
    functions = [queue.function_name(stage) for queue in queues]
    return [
        permissions.send([queue.physical_name(stage) for queue in queues]),
        _work_off([queue.dead_letter_name(stage) for queue in queues]),
        _allow("sqs:GetQueueAttributes", on=[queue_arn(queue.physical_name(stage)) for queue in queues]),
        iam.PolicyStatement(
            actions=["lambda:UpdateEventSourceMapping"],
            resources=[_MAPPINGS],
            conditions={"ArnLike": {"lambda:FunctionArn": [arn("lambda", f"function:{name}*") for name in functions]}},
        ),
        _allow("logs:FilterLogEvents", on=[_log(name) for name in functions]),
    ]


def _work_off(letters: Sequence[str]) -> iam.PolicyStatement:
    """Allow reading, sending and deleting dead letters, for Celeriac's redrive and for the redrive of SQS."""
    return _allow(
        "sqs:SendMessage",
        "sqs:GetQueueUrl",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:StartMessageMoveTask",
        "sqs:ListMessageMoveTasks",
        "sqs:CancelMessageMoveTask",
        on=[queue_arn(name) for name in letters],
    )


def _functions(queues: Sequence[Queue], stage: str) -> list[str]:
    consumers = [queue.function_name(stage) for queue in queues]
    return [*consumers, names.relay_function(stage), names.sweeper_function(stage)]


def _log(function: str) -> str:
    return arn("logs", f"log-group:/aws/lambda/{function}:*")


def _stacks(stage: str) -> str:
    return arn("cloudformation", f"stack/{names.start(stage)}*/*")


def _allow(*actions: str, on: Sequence[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=list(on))
