"""The rights of functions. Each right names its actions and its resources.

Names are deterministic, so ARNs are built from names and not imported from the other stack. An import needs a
CloudFormation export, and CloudFormation deletes no queue whose export is in use.
"""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from celeriac.enqueue import order
from celeriac.model import names, payload
from celeriac.relay import held


def arn(service: str, resource: str, *, region: str = cdk.Aws.REGION, account: str = cdk.Aws.ACCOUNT_ID) -> str:
    """Return the ARN of a resource of `service`. The defaults are the account and the region of the deploy."""
    return cdk.Arn.format(
        cdk.ArnComponents(
            partition=cdk.Aws.PARTITION,
            service=service,
            region=region,
            account=account,
            resource=resource,
            arn_format=cdk.ArnFormat.NO_RESOURCE_NAME,
        )
    )


def role_arn(name: str) -> str:
    """Return the ARN of the role `name`, in the account of the deploy."""
    return arn("iam", f"role/{name}", region="")


def bucket_arn(name: str) -> str:
    """Return the ARN of the S3 bucket `name`. It has no region and no account, because names of buckets are global."""
    return arn("s3", name, region="", account="")


def queue_arn(name: str) -> str:
    """Return the ARN of the SQS queue `name`."""
    return arn("sqs", name)


def consume(queue: str) -> iam.PolicyStatement:
    """Allow the event source mapping to read `queue`, and the consumer to hand single messages back."""
    return _allow(
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:GetQueueAttributes",
        on=[queue_arn(queue)],
    )


def send(queues: Sequence[str]) -> iam.PolicyStatement:
    """Allow finding `queues`, and sending to them."""
    return _allow("sqs:SendMessage", "sqs:GetQueueUrl", on=[queue_arn(queue) for queue in queues])


def read_and_write_items(tables: Sequence[str]) -> iam.PolicyStatement:
    """Allow reading and writing single items of `tables`, also in transactions. Queries and scans aren't allowed."""
    return _allow(
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:ConditionCheckItem",
        on=_tables(tables),
    )


def keep_records(table: str) -> iam.PolicyStatement:
    """Allow claiming keys in the idempotency table, completing their records, and reading them."""
    return _allow("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", on=_tables([table]))


def read_status(table: str, dead_letters: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow reading single records of tasks, and looking for a task among the dead letters."""
    look = ("sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility")
    return [
        _allow("dynamodb:GetItem", on=_tables([table])),
        _allow(*look, on=[queue_arn(name) for name in dead_letters]),
    ]


def append_events(table: str) -> iam.PolicyStatement:
    """Allow adding rows to the outbox, but not reading or changing them."""
    return _allow("dynamodb:PutItem", on=_tables([table]))


def order_events(table: str) -> iam.PolicyStatement:
    """Allow to write in the idempotency table when an aggregate's last event occurred, and no record of a task."""
    return iam.PolicyStatement(
        actions=["dynamodb:PutItem"],
        resources=_tables([table]),
        conditions={"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{order.PREFIX}*"]}},
    )


def mark_events(table: str) -> iam.PolicyStatement:
    """Allow marking rows of the outbox as published, and parking them."""
    return _allow("dynamodb:UpdateItem", on=_tables([table]))


def find_events(table: str, index: str) -> list[iam.PolicyStatement]:
    """Allow finding rows in an index of the outbox, and reading them from the table."""
    return [
        _allow("dynamodb:Query", on=[f"{each}/index/{index}" for each in _tables([table])]),
        _allow("dynamodb:BatchGetItem", on=_tables([table])),
    ]


def note_held_aggregates(table: str) -> iam.PolicyStatement:
    """Allow to note in the idempotency table which aggregates wait, and to read that, and no record of a task."""
    return iam.PolicyStatement(
        actions=["dynamodb:BatchGetItem", "dynamodb:UpdateItem"],
        resources=_tables([table]),
        conditions={"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{held.PREFIX}*"]}},
    )


def put_events(bus: str) -> iam.PolicyStatement:
    """Allow putting events on an EventBridge bus."""
    return _allow("events:PutEvents", on=[arn("events", f"event-bus/{bus}")])


def read_stream(stream_arn: str) -> iam.PolicyStatement:
    """Allow the event source mapping to read a table's stream."""
    return _allow(
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
        on=[stream_arn],
    )


def store_payloads(stage: str) -> list[iam.PolicyStatement]:
    """Allow storing payloads that SQS can't carry in the stage's bucket, and reading them.

    Without the right to list, S3 answers "forbidden" for an object that has expired. The task would then be retried,
    not dead-lettered.
    """
    return [
        _allow("s3:GetObject", "s3:PutObject", on=[payload_objects(stage)]),
        _allow("s3:ListBucket", on=[_payload_bucket(stage)]),
    ]


def leave_payloads(stage: str) -> iam.PolicyStatement:
    """Allow storing arguments that SQS can't carry in the stage's bucket, but not reading them."""
    return _allow("s3:PutObject", on=argument_objects(stage))


def argument_objects(stage: str) -> list[str]:
    """Return the ARNs of all stored arguments in the stage's bucket. The bodies of dead letters are not among them."""
    return [f"{_payload_bucket(stage)}/{prefix}*" for prefix in (payload.ARGS, payload.SCHEDULED)]


def payload_objects(stage: str) -> str:
    """Return the ARN of all objects of the stage's bucket."""
    return f"{_payload_bucket(stage)}/*"


def schedule(stage: str) -> list[iam.PolicyStatement]:
    """Allow delaying messages for longer than SQS can, by schedules that run with the stage's role."""
    return [
        # Each schedule names its dead-letter queue, and the sender looks that queue up.
        _allow("sqs:GetQueueUrl", on=[queue_arn(names.schedule_dead_letters(stage))]),
        _allow("scheduler:CreateSchedule", on=[schedules(stage)]),
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[role_arn(names.scheduler_role(stage, cdk.Aws.REGION))],
            conditions={"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
        ),
    ]


def look_at_schedules(stage: str) -> iam.PolicyStatement:
    """Allow to read a schedule by its name, after a conflict. This shows the payload.

    Producers may not do it. After a conflict they take another name.
    """
    return _allow("scheduler:GetSchedule", on=[schedules(stage)])


def schedules(stage: str) -> str:
    """Return the ARN of all schedules of the stage's group."""
    return arn("scheduler", f"schedule/{names.schedule_group(stage)}/*")


def _payload_bucket(stage: str) -> str:
    return bucket_arn(names.payload_bucket(stage, cdk.Aws.ACCOUNT_ID, cdk.Aws.REGION))


def _tables(tables: Sequence[str]) -> list[str]:
    return [arn("dynamodb", f"table/{table}") for table in tables]


def _allow(*actions: str, on: Sequence[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=list(on))
