"""The rights of functions. Each right names its actions and its resources.

Names are deterministic, so ARNs are built from names and not imported from the other stack. An import needs a
CloudFormation export, and CloudFormation deletes no queue whose export is in use.
"""

from collections.abc import Iterator, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from celeriac.consume import quarantine
from celeriac.enqueue import order, outbox_row
from celeriac.leases import notes
from celeriac.model import names, payload
from celeriac.relay import held

UPDATE = "dynamodb:UpdateItem"
_KEYS = "dynamodb:LeadingKeys"
_MOST_IN_A_STATEMENT = 4000


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


def read_and_write_items(tables: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow reading and writing single items of `tables`, also in transactions. Queries and scans aren't allowed."""
    return [
        _allow(
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            "dynamodb:DeleteItem",
            "dynamodb:ConditionCheckItem",
            on=some,
        )
        for some in in_statements(_tables(tables))
    ]


def keep_records(table: str, queue: str, tasks: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow the consumer of a queue to claim keys of its tasks, complete their records and read them, and to note
    what it did with the queue's messages; further to read the quarantine.
    """
    owners = [*(literal(task) for task in tasks), f"{notes.OF_QUEUE}{queue}"]
    return [
        *(
            _on_keys(
                table,
                [f"{owner}#*" for owner in some],
                "dynamodb:GetItem",
                # Several tasks that run are looked at together: whether somebody has cancelled one of them.
                "dynamodb:BatchGetItem",
                "dynamodb:PutItem",
                UPDATE,
            )
            for some in in_statements(owners)
        ),
        _on_keys(table, [quarantine.ITEM], "dynamodb:GetItem"),
    ]


def read_records(table: str, tasks: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow reading the records of tasks, and the notes about the messages of their queues."""
    return [
        _on_keys(table, [f"{owner}#*" for owner in some], "dynamodb:GetItem")
        for some in in_statements([literal(task) for task in tasks])
    ]


def list_runs(table: str, tasks: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow finding the ended runs of tasks, in the index of a history."""
    index = [f"{each}/index/{names.runs_index()}" for each in _tables([table])]
    return [
        iam.PolicyStatement(
            actions=["dynamodb:Query"],
            resources=index,
            conditions={"ForAllValues:StringLike": {_KEYS: [f"{owner}#*" for owner in some]}},
        )
        for some in in_statements([literal(task) for task in tasks])
    ]


def cancel_messages(table: str, tasks: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow writing in the records of tasks that messages are cancelled. IAM can't bound what is written there."""
    return [
        _on_keys(table, [f"{owner}#*" for owner in some], "dynamodb:GetItem", "dynamodb:PutItem", UPDATE)
        for some in in_statements([literal(task) for task in tasks])
    ]


def read_notes(table: str, queues: Sequence[str]) -> iam.PolicyStatement:
    """Allow reading the notes about the messages of queues."""
    return _on_keys(table, [f"{notes.OF_QUEUE}{queue}#*" for queue in queues], "dynamodb:GetItem")


def read_status(table: str) -> iam.PolicyStatement:
    """Allow reading single records of tasks."""
    return _allow("dynamodb:GetItem", on=_tables([table]))


def append_rows(table: str) -> iam.PolicyStatement:
    """Allow adding events and tasks to the outbox, but not reading or changing them."""
    return _allow("dynamodb:PutItem", on=_tables([table]))


def append_events(table: str) -> iam.PolicyStatement:
    """Allow adding events to the outbox, and no tasks."""
    return _on_keys(table, [f"{outbox_row.TASKS}*"], "dynamodb:PutItem", operator="StringNotLike")


def append_tasks(table: str, queue: str) -> iam.PolicyStatement:
    """Allow adding tasks of one queue to the outbox."""
    return _on_keys(table, [f"{outbox_row.task_start(queue)}*"], "dynamodb:PutItem")


def order_rows(table: str, aggregates: str = "") -> iam.PolicyStatement:
    """Allow to write in the idempotency table when an aggregate's last row occurred, and no record of a task.

    aggregates: how their names begin.
    """
    return _on_keys(table, [f"{order.PREFIX}{aggregates}*"], "dynamodb:PutItem")


def order_events(table: str) -> iam.PolicyStatement:
    """Allow the same for the aggregates of events, and not for those of tasks."""
    allowed = order_rows(table)
    allowed.add_condition("ForAllValues:StringNotLike", {_KEYS: [f"{order.PREFIX}{outbox_row.TASKS}*"]})
    return allowed


def mark_events(table: str) -> iam.PolicyStatement:
    """Allow marking rows of the outbox as published, and parking them."""
    return _allow("dynamodb:UpdateItem", on=_tables([table]))


def find_events(table: str, index: str) -> list[iam.PolicyStatement]:
    """Allow finding rows in an index of the outbox, and reading them from the table."""
    return [
        query(table, index),
        _allow("dynamodb:BatchGetItem", on=_tables([table])),
    ]


def use_items(table: str, patterns: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow reading and updating items of a table, those whose partition keys match one of the patterns."""
    return [
        _on_keys(table, some, "dynamodb:GetItem", "dynamodb:BatchGetItem", UPDATE) for some in in_statements(patterns)
    ]


def take_items(table: str, patterns: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow the same for one item at a time."""
    return [_on_keys(table, some, "dynamodb:GetItem", UPDATE) for some in in_statements(patterns)]


def begin_composed(table: str, patterns: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow filling batches and enqueuing chains."""
    return [_on_keys(table, some, "dynamodb:BatchWriteItem", UPDATE) for some in in_statements(patterns)]


def compose(table: str, patterns: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow filling batches and enqueuing chains, reporting members, and reading what follows."""
    actions = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", UPDATE)
    return [_on_keys(table, some, *actions) for some in in_statements(patterns)]


def update_items(table: str, patterns: Sequence[str]) -> iam.PolicyStatement:
    """Allow updating items of a table, those whose partition keys match one of the patterns."""
    return _on_keys(table, patterns, UPDATE)


def read_items(table: str, patterns: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow reading single items of a table, those whose partition keys match one of the patterns."""
    return [_on_keys(table, some, "dynamodb:GetItem") for some in in_statements(patterns)]


def look_at_items(table: str, patterns: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow reading items of a table, also many in a call, those whose partition keys match one of the patterns."""
    return [_on_keys(table, some, "dynamodb:GetItem", "dynamodb:BatchGetItem") for some in in_statements(patterns)]


def read_all_items(table: str) -> iam.PolicyStatement:
    """Allow reading every item of a table, and looking through it."""
    return _allow("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Scan", on=_tables([table]))


def look_at_records(table: str, tasks: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow reading the records of tasks, many in a call."""
    return [
        _on_keys(table, [f"{owner}#*" for owner in some], "dynamodb:BatchGetItem")
        for some in in_statements([literal(task) for task in tasks])
    ]


def query(table: str, index: str) -> iam.PolicyStatement:
    """Allow finding keys in an index of a table."""
    return _allow("dynamodb:Query", on=[f"{each}/index/{index}" for each in _tables([table])])


def note_held_aggregates(table: str) -> iam.PolicyStatement:
    """Allow to note in the idempotency table which aggregates wait, and to read that, and no record of a task."""
    return _on_keys(table, [f"{held.PREFIX}*"], "dynamodb:BatchGetItem", UPDATE)


def count_messages(stage: str) -> list[iam.PolicyStatement]:
    """Allow finding all queues of the stage, also those that were removed from it, and counting their messages.

    SQS's list of queues has no resource to name.
    """
    return [_allow("sqs:ListQueues", on=["*"]), _allow("sqs:GetQueueAttributes", on=[queues(stage)])]


def queues(stage: str) -> str:
    """Return the ARN of all queues of the stage, those of tasks and those of dead letters."""
    return queue_arn(f"{names.start(stage)}*")


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
    """Allow storing payloads that SQS can't carry in the stage's bucket, and reading those of all queues."""
    return [_allow("s3:GetObject", "s3:PutObject", on=payload_objects(stage)), _list_payloads(stage)]


def use_payloads(stage: str, queue: str) -> list[iam.PolicyStatement]:
    """Allow the consumer of a queue to read the payloads of its messages, and to store those of what it sends."""
    own = payload_objects(stage, queue)
    sends = payload_objects(stage, prefixes=(payload.ARGS, payload.SCHEDULED))
    return [
        _allow("s3:GetObject", on=own),
        _allow("s3:PutObject", on=[*sends, *payload_objects(stage, queue, prefixes=(payload.BODIES,))]),
        _list_payloads(stage),
    ]


def leave_payloads(stage: str, queue: str) -> iam.PolicyStatement:
    """Allow storing arguments for one queue that SQS can't carry in the stage's bucket, but not reading them."""
    return _allow("s3:PutObject", on=payload_objects(stage, queue, prefixes=(payload.ARGS, payload.SCHEDULED)))


def payload_objects(
    stage: str, queue: str | None = None, *, prefixes: Sequence[str] = (payload.ARGS, payload.SCHEDULED, payload.BODIES)
) -> list[str]:
    """Return the ARNs of the stored payloads of a queue, or of all queues, in the stage's bucket."""
    of = f"{queue}/" if queue is not None else ""
    return [f"{_payload_bucket(stage)}/{prefix}{of}*" for prefix in prefixes]


def schedule(stage: str, queue: str | None = None) -> list[iam.PolicyStatement]:
    """Allow delaying messages for longer than SQS can, for one queue or for all, by schedules that run with its role.

    A schedule sends with a role, and so to no other queue than that of a role that the caller may pass.
    """
    return [
        # Each schedule names its dead-letter queue, and the sender looks that queue up.
        _allow("sqs:GetQueueUrl", on=[queue_arn(names.schedule_dead_letters(stage))]),
        _allow("scheduler:CreateSchedule", on=[schedules(stage, queue)]),
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[scheduler_roles(stage, queue)],
            conditions={"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
        ),
    ]


def scheduler_roles(stage: str, queue: str | None = None) -> str:
    """Return the ARN of the role with which Scheduler sends to a queue, or the pattern of those of all queues."""
    if queue is None:
        return role_arn(f"{names.start(stage)}scheduler-*-{cdk.Aws.REGION}")
    return role_arn(names.scheduler_role(stage, queue, cdk.Aws.REGION))


def look_at_schedules(stage: str, queue: str | None = None) -> iam.PolicyStatement:
    """Allow to read schedules by their names: those of one queue, or of all. This shows the payloads.

    Producers may not do it. After a conflict they take another name.
    """
    return _allow("scheduler:GetSchedule", on=[schedules(stage, queue)])


def list_schedules() -> iam.PolicyStatement:
    """Allow to list the names of schedules. The action has no resource to name, so this is for every stage's.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridgescheduler.html
    """
    return _allow("scheduler:ListSchedules", on=["*"])


def schedules(stage: str, queue: str | None = None) -> str:
    """Return the ARN of all schedules of the stage's group, or of those that send to one queue."""
    return arn("scheduler", f"schedule/{names.schedule_group(stage)}/{f'{queue}.' if queue is not None else ''}*")


def literal(text: str) -> str:
    """Return a text as a pattern of a policy that matches it.

    A policy may have printable ASCII only, so any other character is matched by `?`, which matches every character.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
    """
    return "".join(f"${{{char}}}" if char in "*?$" else char if " " <= char <= "~" else "?" for char in text)


def in_statements(texts: Sequence[str]) -> Iterator[list[str]]:
    """Split texts, so that each part fits into a statement. CDK spreads statements over several policies.

    A managed policy has 6,144 characters: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    """
    some: list[str] = []
    for text in texts:
        # Each has at least quotes, a comma and the end of its pattern beside it.
        if some and sum(len(one) + 5 for one in some) + len(text) > _MOST_IN_A_STATEMENT:
            yield some
            some = []
        some.append(text)
    if some:
        yield some


def _on_keys(table: str, patterns: Sequence[str], *actions: str, operator: str = "StringLike") -> iam.PolicyStatement:
    """Allow actions on the items of a table whose partition keys match one of the patterns."""
    return iam.PolicyStatement(
        actions=list(actions),
        resources=_tables([table]),
        conditions={f"ForAllValues:{operator}": {_KEYS: list(patterns)}},
    )


def _list_payloads(stage: str) -> iam.PolicyStatement:
    """Allow to list the bucket's keys. Without this, S3 answers "forbidden" for an object that has expired. The task
    would then be retried, not dead-lettered.
    """
    return _allow("s3:ListBucket", on=[_payload_bucket(stage)])


def _payload_bucket(stage: str) -> str:
    return bucket_arn(names.payload_bucket(stage, cdk.Aws.ACCOUNT_ID, cdk.Aws.REGION))


def _tables(tables: Sequence[str]) -> list[str]:
    return [arn("dynamodb", f"table/{table}") for table in tables]


def _allow(*actions: str, on: Sequence[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(actions), resources=list(on))
