"""What a deploy would lose, strand or fail at: the templates before and after, compared. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

type Template = Mapping[str, Any]
type Resource = Mapping[str, Any]

_DATA = {
    "AWS::SQS::Queue": ("queue", "messages", "QueueName"),
    "AWS::DynamoDB::Table": ("table", "items", "TableName"),
    "AWS::S3::Bucket": ("bucket", "objects", "BucketName"),
    "AWS::SecretsManager::Secret": ("secret", "value", "Name"),
    "AWS::Scheduler::ScheduleGroup": ("schedule group", "schedules", "Name"),
    "AWS::Logs::LogGroup": ("log", "lines", "LogGroupName"),
}
"""By type: its name here, what it holds, and the property with its own name."""
_FIXED = {
    "AWS::SQS::Queue": ("QueueName", "FifoQueue"),
    "AWS::DynamoDB::Table": ("TableName", "KeySchema"),
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::SecretsManager::Secret": ("Name",),
    "AWS::Scheduler::ScheduleGroup": ("Name",),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", "Path", "Description"),
    "AWS::IAM::Role": ("RoleName", "Path"),
    "AWS::Lambda::Function": ("FunctionName", "PackageType"),
    "AWS::SNS::Topic": ("TopicName", "FifoTopic"),
    "AWS::Events::EventBus": ("Name",),
}
"""By type: the property with its own name, and others whose change makes CloudFormation replace it. See "Update
requires: Replacement" at https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"""
_POLICY = "AWS::IAM::ManagedPolicy"
_SUBSCRIPTION = "AWS::SNS::Subscription"


def warnings(before: Template, after: Template) -> Iterator[str]:
    """Say what is lost, what waits for ever, and what CloudFormation would refuse, if `after` follows `before`."""
    old, new = before.get("Resources", {}), after.get("Resources", {})
    for logical_id, resource in old.items():
        kind, successor = resource["Type"], new.get(logical_id)
        if successor is None or successor["Type"] != kind:
            yield from _removed(kind, resource)
            continue
        yield from _replaced(kind, resource, successor)
        if kind == _POLICY:
            yield from _narrowed(resource, successor)


def _removed(kind: str, resource: Resource) -> Iterator[str]:
    properties = resource.get("Properties", {})
    if kind in _DATA:
        what, content, key = _DATA[kind]
        name = _text(properties.get(key))
        stays = resource.get("DeletionPolicy", "Delete") != "Delete"
        fate = f"it stays with its {content}, and no stack knows it" if stays else f"it is deleted with its {content}"
        cure = ""
        if kind == "AWS::SQS::Queue":
            cure = ". Declare it with retired=True, deploy, and remove it when `celeriac doctor` says that it is empty"
        yield f"the {what} {name} is removed: {fate}{cure}"
    elif kind == _POLICY:
        name = _text(properties.get("ManagedPolicyName"))
        yield f"the policy {name} is removed: roles that have it lose its rights, and until then the deploy fails"
    elif kind == _SUBSCRIPTION:
        kind = "tickets" if "Tickets" in str(properties.get("TopicArn")) else "pages"
        yield f"{_text(properties.get('Endpoint'))} gets no {kind} any more"


def _replaced(kind: str, resource: Resource, successor: Resource) -> Iterator[str]:
    before, after = resource.get("Properties", {}), successor.get("Properties", {})
    key, *others = _FIXED.get(kind, (None,))
    if key is None or before.get(key) is None:
        return
    name = _text(before[key])
    if before[key] != after.get(key):
        if kind in _DATA:
            what, content, _ = _DATA[kind]
            yield f"the {what} {name} becomes another one, {_text(after.get(key))}: its {content} stay behind"
        return
    for changed in (each for each in others if before.get(each) != after.get(each)):
        yield (
            f"{changed} of {name} changes: CloudFormation would make a new one under the same name, and fails, because "
            "the old one has the name"
        )


def _narrowed(resource: Resource, successor: Resource) -> Iterator[str]:
    lost = _actions(resource) - _actions(successor)
    if lost:
        name = _text(resource["Properties"].get("ManagedPolicyName"))
        yield f"the policy {name} no longer allows {', '.join(sorted(lost))}: whoever has it loses that"


def _actions(policy: Resource) -> set[str]:
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    return {action for one in statements for action in _listed(one["Action"])}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    """A name as a person reads it: without the brackets of CloudFormation's functions."""
    match value:
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(_text(part) for part in parts)
        case {"Ref": name}:
            return f"<{str(name).removeprefix('AWS::')}>"
        case None:
            return "without a name"
    return str(value)
