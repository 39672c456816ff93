"""What a role or a managed policy of a template allows, judged by the same rules as on the local cloud."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from celeriac_local.iam.policy import AccessCheck, Verdict, judge
from tests.infra.template import Resource, Stack, listed, text

REAL = {
    "${AWS::Partition}": "aws",
    "${AWS::Region}": "eu-west-1",
    "${AWS::AccountId}": "123456789012",
    "${AWS::StackName}": "celeriac-test--state",
}
KEYS = "dynamodb:leadingkeys"
WITH_KEYS = frozenset({"GetItem", "PutItem", "UpdateItem", "DeleteItem", "BatchGetItem"})


@dataclass
class Statement:
    """A statement in the form that the judgement takes."""

    effect: str
    actions: list[str]
    resources: list[str]
    conditions: dict[str, Any]
    not_actions: list[str] = field(default_factory=list)
    not_resources: list[str] = field(default_factory=list)


def arn(service: str, resource: str) -> str:
    """The ARN of a resource in the account and region of these tests."""
    place = {"s3": ":", "iam": ":123456789012"}.get(service, "eu-west-1:123456789012")
    return f"arn:aws:{service}:{place}:{resource}"


def read(stack: Stack, statements: Iterable[Resource]) -> list[Statement]:
    """Statements of a template, with the names in place of its references."""
    return [
        Statement(
            each["Effect"],
            listed(each["Action"]),
            [_real(stack, resource) for resource in listed(each["Resource"])],
            {
                name: {key: [_real(stack, value) for value in listed(values)] for key, values in keys.items()}
                for name, keys in each.get("Condition", {}).items()
            },
        )
        for each in statements
    ]


def _real(stack: Stack, value: Any) -> str:
    if isinstance(value, Mapping) and "Fn::GetAtt" in value:
        name, _ = value["Fn::GetAtt"]
        resource = stack.json["Resources"][name]
        return arn("sqs", str(resource["Properties"]["QueueName"]))
    found = text(value)
    for token, real in REAL.items():
        found = found.replace(token, real)
    return found


def of_managed(stack: Stack, name: str) -> list[Statement]:
    """The statements of a managed policy."""
    found = stack.named("IAM::ManagedPolicy", "ManagedPolicyName", name)
    return read(stack, found["PolicyDocument"]["Statement"])


def of_function(stack: Stack, function: str) -> list[Statement]:
    """The statements of a function's role."""
    role = stack.named("Lambda::Function", "FunctionName", function)["Role"]["Fn::GetAtt"][0]
    return read(stack, [statement for owner, statement in stack.statements() if owner == role])


def allowed(statements: list[Statement], action: str, resource: str, **context: Any) -> bool:
    """Whether a call is allowed. A call that can't be judged is a mistake of the test."""
    verdict = judge(statements, AccessCheck(action, (resource,), context))
    assert verdict is not Verdict.UNKNOWN, (action, resource)
    return verdict is Verdict.ALLOWED


ACTIONS = {
    "sqs": [
        *("SendMessage", "GetQueueUrl", "GetQueueAttributes", "ReceiveMessage", "DeleteMessage"),
        *("ChangeMessageVisibility", "StartMessageMoveTask", "CancelMessageMoveTask", "PurgeQueue", "DeleteQueue"),
        *("SetQueueAttributes", "AddPermission"),
    ],
    "dynamodb": [
        *("GetItem", "PutItem", "UpdateItem", "DeleteItem", "BatchGetItem", "Query", "Scan", "DescribeTable"),
        *("DeleteTable", "UpdateTable", "ConditionCheckItem"),
    ],
    "s3": ["GetObject", "PutObject", "DeleteObject"],
    "scheduler": ["CreateSchedule", "GetSchedule", "UpdateSchedule", "DeleteSchedule", "ListSchedules"],
    "iam": ["PassRole", "PutRolePolicy"],
}


@dataclass
class World:
    """Everything that a stage has, and something of its neighbours. A call is an action on one of these."""

    queues: list[str]
    tables: list[str]
    objects: list[str]
    schedules: list[str]
    roles: list[str]
    keys: list[str]

    def calls(self) -> Iterable[tuple[str, str, dict[str, Any]]]:
        """Every call: action, ARN, and what is known of it."""
        for action, queue in product(ACTIONS["sqs"], self.queues):
            yield f"sqs:{action}", arn("sqs", queue), {}
        for action, table in product(ACTIONS["dynamodb"], self.tables):
            where = arn("dynamodb", f"table/{table}")
            keys = self.keys if action in WITH_KEYS or action == "ConditionCheckItem" else [None]
            for key in keys:
                yield f"dynamodb:{action}", where, {} if key is None else {KEYS: (key,)}
        for action, path in product(ACTIONS["s3"], self.objects):
            yield f"s3:{action}", arn("s3", path), {}
        for action, schedule in product(ACTIONS["scheduler"], self.schedules):
            yield f"scheduler:{action}", arn("scheduler", f"schedule/{schedule}"), {}
        for action, role in product(ACTIONS["iam"], self.roles):
            yield f"iam:{action}", arn("iam", f"role/{role}"), {"iam:passedtoservice": "scheduler.amazonaws.com"}

    def allowed(self, statements: list[Statement]) -> set[tuple[str, str]]:
        """The calls that the statements allow: the action, and the resource with its partition key."""
        return {
            (action.partition(":")[2], resource.split(":", 5)[5] + "".join(f" {key}" for key in context.get(KEYS, ())))
            for action, resource, context in self.calls()
            if allowed(statements, action, resource, **context)
        }
