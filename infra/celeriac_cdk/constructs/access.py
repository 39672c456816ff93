"""Managed policies for roles and users outside the stacks: to enqueue tasks of a queue, to emit events, to read
a task's status, to operate.
"""

from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from celeriac import Task
from celeriac.enqueue.outbox_row import task_start
from celeriac.model import declared, names
from celeriac.model.queue import Queue, keep_history
from celeriac_cdk import flow_rights, permissions
from celeriac_cdk.config import StageConfig
from celeriac_cdk.constructs.key import use_key
from celeriac_cdk.nag import acknowledge_wildcard
from celeriac_cdk.permissions import arn, queue_arn


class Access(Construct):
    """The managed policies `<application>-<stage>--producer-<queue>-<region>`, and `-emitter-<region>`,
    `-reader-<region>` and `-operator-<region>` of the stage.

    The policies are in the stack of the queues, so that they stay attached if the functions are deleted.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queues: Sequence[Queue],
        tasks: Sequence[Task[..., Any, Any]],
        config: StageConfig,
        key: kms.IKey | None,
    ) -> None:
        """Build the policies."""
        super().__init__(scope, construct_id)
        stage = config.stage
        for queue in queues:
            rights = to_produce(queue, tasks, stage, key)
            # The description stays as it is, even where a unique task has its records read: CloudFormation would make
            # a new policy for another description, under a name that is taken.
            self._policy(f"producer-{queue.name}", f"Enqueues tasks of {queue.name}; reads nothing", rights, stage)
            for resource in permissions.payload_objects(stage, queue.name):
                acknowledge_wildcard(self, resource, _PAYLOADS)
            acknowledge_wildcard(self, permissions.schedules(stage, queue.name), _SCHEDULES)
        emit = to_emit(stage, key)
        self._policy("emitter", "Emits events; reads nothing and enqueues nothing", emit, stage)
        look = [
            permissions.read_status(names.idempotency_table(stage)),
            *_list_runs(queues, stage),
            *flow_rights.of_reader(tasks, stage),
            *use_key(key, through=("dynamodb",)),
        ]
        self._policy("reader", "Asks for the status and result of tasks", look, stage)
        operate = [
            *operator_rights(stage),
            *_list_runs(queues, stage),
            *_of_containers(queues, stage),
            *use_key(key, through=("dynamodb", "s3", "scheduler", "sqs")),
        ]
        self._policy("operator", "The rights of the command `celeriac`", operate, stage)
        reasons = {
            **dict.fromkeys(permissions.payload_objects(stage), _PAYLOADS),
            permissions.schedules(stage): _SCHEDULES,
            permissions.scheduler_roles(stage): "each of these roles sends to a queue of the stage, and nothing else",
            _TARGETS: "the id of a scalable target is known only when it is created; the services are the stage's",
            _MAPPINGS: "the id of a mapping is known only when it is created; a condition names the stage's functions",
            "*": "lists of queues, tables, schedules, mappings and quotas, and CloudWatch, have no resource to name",
            **dict.fromkeys(
                (
                    permissions.queues(stage),
                    *_dead_letters(stage),
                    _tables(stage),
                    _stacks(stage),
                    _logs(stage),
                    _functions(stage),
                    _services(stage),
                ),
                "an operator may work on all of a stage, and no other stage's names begin like this",
            ),
        }
        for resource, reason in reasons.items():
            acknowledge_wildcard(self, resource, reason)

    def _policy(self, role: str, description: str, statements: Sequence[iam.PolicyStatement], stage: str) -> None:
        """Build a policy. Its name has the region, because names of policies are global in an account."""
        iam.ManagedPolicy(
            self,
            role[0].upper() + role[1:],
            managed_policy_name=names.part(stage, f"{role}-{cdk.Aws.REGION}"),
            description=f"Celeriac {stage}: {description}",
            statements=statements,
        )


_PAYLOADS = "the name of a payload is known only when it is stored"
_SCHEDULES = "the name of a schedule is known only when it is created; the group is fixed"
_MAPPINGS = arn("lambda", "event-source-mapping:*")
_TARGETS = arn("application-autoscaling", "scalable-target/*")


def to_produce(
    queue: Queue, tasks: Sequence[Task[..., Any, Any]], stage: str, key: kms.IKey | None
) -> list[iam.PolicyStatement]:
    """What enqueuing tasks of a queue needs, at once, later, or by a transaction."""
    outbox, records = names.outbox_table(stage), names.idempotency_table(stage)
    return [
        permissions.send([queue.physical_name(stage)]),
        permissions.leave_payloads(stage, queue.name),
        *permissions.schedule(stage, queue.name),
        permissions.append_tasks(outbox, queue.name),
        *([permissions.order_rows(records, task_start(queue.name))] if queue.fifo else []),
        *flow_rights.of_producer(queue, tasks, stage),
        *use_key(key, through=("dynamodb", "s3", "scheduler", "sqs")),
    ]


def to_emit(stage: str, key: kms.IKey | None) -> list[iam.PolicyStatement]:
    """What emitting events by a transaction needs."""
    return [
        permissions.append_events(names.outbox_table(stage)),
        permissions.order_events(names.idempotency_table(stage)),
        *use_key(key, through=("dynamodb",)),
    ]


def operator_rights(stage: str) -> list[iam.PolicyStatement]:
    """The rights on all of a stage. Its names begin as no other stage's, so patterns need less room than names."""
    records, outbox = (
        arn("dynamodb", f"table/{table}") for table in (names.idempotency_table(stage), names.outbox_table(stage))
    )
    return [
        _allow("sqs:SendMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes", on=[permissions.queues(stage)]),
        _allow(
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:StartMessageMoveTask",
            "sqs:ListMessageMoveTasks",
            "sqs:CancelMessageMoveTask",
            on=_dead_letters(stage),
        ),
        *permissions.store_payloads(stage),
        *permissions.schedule(stage),
        permissions.look_at_schedules(stage),
        _allow("scheduler:DeleteSchedule", on=[permissions.schedules(stage)]),
        _allow(
            "dynamodb:DescribeTable",
            "dynamodb:DescribeTimeToLive",
            "dynamodb:DescribeContinuousBackups",
            on=[_tables(stage)],
        ),
        _allow(
            "dynamodb:GetItem",
            "dynamodb:Scan",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            "dynamodb:BatchGetItem",
            on=[records, outbox],
        ),
        _allow("dynamodb:DeleteItem", on=[records]),
        permissions.query(names.outbox_table(stage), names.outbox_index()),
        *flow_rights.of_operator(stage),
        *([permissions.put_events(names.bus(stage))] if declared.outbox().bus else []),
        _allow("logs:FilterLogEvents", on=[_logs(stage)]),
        iam.PolicyStatement(
            actions=["lambda:UpdateEventSourceMapping"],
            resources=[_MAPPINGS],
            conditions={"ArnLike": {"lambda:FunctionArn": [_functions(stage)]}},
        ),
        _allow("lambda:GetFunctionConfiguration", on=[_functions(stage)]),
        _allow("cloudformation:DescribeStacks", "cloudformation:GetTemplate", on=[_stacks(stage)]),
        _allow(
            "sqs:ListQueues",
            "dynamodb:ListTables",
            "scheduler:ListSchedules",
            "lambda:ListEventSourceMappings",
            "lambda:GetAccountSettings",
            "cloudwatch:DescribeAlarms",
            "cloudwatch:GetMetricData",
            "cloudwatch:GetMetricStatistics",
            "servicequotas:ListServiceQuotas",
            on=["*"],
        ),
    ]


def _list_runs(queues: Sequence[Queue], stage: str) -> list[iam.PolicyStatement]:
    if not keep_history(queues):
        return []
    return [permissions.query(names.idempotency_table(stage), names.runs_index())]


def _of_containers(queues: Sequence[Queue], stage: str) -> list[iam.PolicyStatement]:
    """What pausing and resuming queues on Fargate needs, if there are any."""
    if not any(queue.is_on_fargate for queue in queues):
        return []
    of_ecs = {"StringEquals": {"application-autoscaling:service-namespace": "ecs"}}
    return [
        _allow("ecs:DescribeServices", "ecs:UpdateService", on=[_services(stage)]),
        iam.PolicyStatement(
            actions=["application-autoscaling:RegisterScalableTarget"], resources=[_TARGETS], conditions=of_ecs
        ),
        _allow("application-autoscaling:DescribeScalableTargets", on=["*"]),
    ]


def _services(stage: str) -> str:
    return arn("ecs", f"service/{names.workers_cluster(stage)}/*")


def _dead_letters(stage: str) -> list[str]:
    """No queue that tasks are sent to has a name that ends like this."""
    return [queue_arn(f"{names.start(stage)}*-dlq{kind}") for kind in ("", ".fifo")]


def _tables(stage: str) -> str:
    return arn("dynamodb", f"table/{names.start(stage)}*")


def _functions(stage: str) -> str:
    return arn("lambda", f"function:{names.start(stage)}*")


def _logs(stage: str) -> str:
    return arn("logs", f"log-group:/aws/lambda/{names.start(stage)}*:*")


def _stacks(stage: str) -> str:
    return arn("cloudformation", f"stack/{names.start(stage)}*/*")


def _allow(*actions: str, on: Sequence[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=list(on))
