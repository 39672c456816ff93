"""What AWS takes in the templates: the limits of each service, from its own documentation and not from our code."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from tests.infra.template import Resource, Stack, text

type Problems = Iterator[str]

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_INLINE, _MANAGED, _ATTACHED = 10_240, 6_144, 10
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
_RESOURCES, _TEMPLATE, _LOGICAL_ID = 500, 1_000_000, 255
_LENGTHS = {"AWS::Partition": "aws", "AWS::Region": "ap-southeast-2", "AWS::AccountId": "1" * 12}
_LOG_DAYS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}


def problems(stack: Stack) -> Problems:
    """What CloudFormation, or the service behind a resource, would refuse in a stack."""
    resources = stack.json["Resources"]
    if len(resources) > _RESOURCES:
        yield f"{len(resources)} resources"
    if len(json.dumps(stack.json)) > _TEMPLATE:
        yield "the template is too large"
    for name, resource in resources.items():
        if not re.fullmatch(rf"[A-Za-z0-9]{{1,{_LOGICAL_ID}}}", name):
            yield f"the logical id {name!r}"
        check = _CHECKS.get(resource["Type"].removeprefix("AWS::"))
        if check is not None:
            yield from (f"{name}: {problem}" for problem in check(resource.get("Properties", {})))


def written(value: Any) -> str:
    """A value as it is after the deploy, in the region with the longest name, without white space."""
    found = value if isinstance(value, str) else json.dumps(_resolved(value), separators=(",", ":"))
    for name, real in _LENGTHS.items():
        found = found.replace(f"${{{name}}}", real)
    return found


def _resolved(value: Any) -> Any:
    if isinstance(value, dict):
        is_function = len(value) == 1 and next(iter(value)) in {"Ref", "Fn::Join", "Fn::GetAtt", "Fn::ImportValue"}
        return text(value) if is_function else {key: _resolved(each) for key, each in value.items()}
    return [_resolved(each) for each in value] if isinstance(value, list) else value


def _name(value: Any, pattern: str) -> Problems:
    if value is not None and not re.fullmatch(pattern, written(text(value))):
        yield f"the name {written(text(value))!r}"


def _between(found: Resource, **limits: tuple[int, int]) -> Problems:
    for key, (low, high) in limits.items():
        if key in found and not low <= int(found[key]) <= high:
            yield f"{key} is {found[key]}"


def _queue(found: Resource) -> Problems:
    yield from _name(found["QueueName"], r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
    yield from _between(found, VisibilityTimeout=(0, 43_200), MessageRetentionPeriod=(60, 1_209_600))
    if "RedrivePolicy" in found:
        yield from _between(found["RedrivePolicy"], maxReceiveCount=(1, 1000))


def _table(found: Resource) -> Problems:
    yield from _name(found["TableName"], r"[A-Za-z0-9_.-]{3,255}")
    for key in found["KeySchema"]:
        if not 1 <= len(key["AttributeName"].encode()) <= 255:
            yield f"the key {key['AttributeName']!r}"


def _function(found: Resource) -> Problems:
    yield from _name(found.get("FunctionName"), r"[a-zA-Z0-9-_]{1,64}")
    yield from _between(found, MemorySize=(128, 10_240), Timeout=(1, 900))
    yield from _between(found.get("EphemeralStorage", {}), Size=(512, 10_240))
    variables = found.get("Environment", {}).get("Variables", {})
    if sum(len(name) + len(written(value).encode()) for name, value in variables.items()) > 4096:
        yield "more than 4 KB of variables"
    for name in variables:
        if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]+", name) or name in {"AWS_REGION", "_HANDLER", "LAMBDA_TASK_ROOT"}:
            yield f"the variable {name!r}"


def _mapping(found: Resource) -> Problems:
    if "StartingPosition" in found:  # of a stream
        yield from _between(found, BatchSize=(1, 10_000), MaximumRetryAttempts=(-1, 10_000))
        return
    window = found.get("MaximumBatchingWindowInSeconds", 0)
    yield from _between(found, BatchSize=(1, 10_000 if window else 10), MaximumBatchingWindowInSeconds=(0, 300))
    yield from _between(found.get("ScalingConfig", {}), MaximumConcurrency=(2, 1000))
    pollers = found.get("ProvisionedPollerConfig", {})
    if isinstance(pollers.get("MinimumPollers"), int):
        yield from _between(pollers, MinimumPollers=(2, 200), MaximumPollers=(2, 10_000))
        if "ScalingConfig" in found:
            yield "pollers and a maximum concurrency"


def _schedule(found: Resource) -> Problems:
    yield from _name(found["Name"], r"[0-9a-zA-Z-_.]{1,64}")
    if len(found["ScheduleExpression"]) > 256:
        yield "a long expression"
    if not 1 <= len(found["Target"].get("Input", "x").encode()) <= 262_144:
        yield "a large input"


def _policy(found: Resource) -> Problems:
    size = len(written(found["PolicyDocument"]))
    most = _MANAGED if "ManagedPolicyName" in found or "PolicyName" not in found else _INLINE
    if size > most:
        yield f"a policy of {size} characters"
    if not written(found["PolicyDocument"]).isascii():
        yield "a policy with letters that IAM doesn't take"
    if "ManagedPolicyName" in found:
        yield from _name(found["ManagedPolicyName"], r"[\w+=,.@-]{1,128}")


def _role(found: Resource) -> Problems:
    yield from _name(found.get("RoleName"), r"[\w+=,.@-]{1,64}")
    if len(found.get("ManagedPolicyArns", [])) > _ATTACHED:
        yield "more than 10 managed policies"


def _alarm(found: Resource) -> Problems:
    yield from _name(found["AlarmName"], r".{1,255}")
    if len(written(found.get("AlarmDescription", ""))) > 1024:
        yield "a long description"
    # An alarm looks at a day of five-minute periods at most.
    if found.get("Period", 60) * found["EvaluationPeriods"] > 86_400:
        yield "more than a day"


def _log(found: Resource) -> Problems:
    yield from _name(found["LogGroupName"], r"[.\-_/#A-Za-z0-9]{1,512}")
    if found["RetentionInDays"] not in _LOG_DAYS:
        yield f"retention of {found['RetentionInDays']} days"


def _bucket(found: Resource) -> Problems:
    yield from _name(found["BucketName"], r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
    for rule in found.get("LifecycleConfiguration", {}).get("Rules", []):
        yield from _between(rule, ExpirationInDays=(1, 2_147_483_647))


def _dashboard(found: Resource) -> Problems:
    yield from _name(found["DashboardName"], r"[A-Za-z0-9_-]{1,255}")
    if len(json.loads(written(text(found["DashboardBody"])))["widgets"]) > 500:
        yield "more than 500 widgets"


_CHECKS: dict[str, Callable[[Resource], Problems]] = {
    "SQS::Queue": _queue,
    "DynamoDB::Table": _table,
    "Lambda::Function": _function,
    "Lambda::EventSourceMapping": _mapping,
    "Scheduler::Schedule": _schedule,
    "Scheduler::ScheduleGroup": lambda found: _name(found["Name"], r"[0-9a-zA-Z-_.]{1,64}"),
    "IAM::Policy": _policy,
    "IAM::ManagedPolicy": _policy,
    "IAM::Role": _role,
    "CloudWatch::Alarm": _alarm,
    "Logs::LogGroup": _log,
    "S3::Bucket": _bucket,
    "CloudWatch::Dashboard": _dashboard,
    "SecretsManager::Secret": lambda found: _name(found.get("Name"), r"[\w/+=.@-]{1,512}"),
    "Events::EventBus": lambda found: _name(found["Name"], r"[/.\-_A-Za-z0-9]{1,256}"),
    "SNS::Topic": lambda found: _name(found.get("TopicName"), r"[A-Za-z0-9_-]{1,256}"),
}


def of_stage(*stacks: Stack) -> list[str]:
    """The problems of several stacks."""
    return list(chain.from_iterable(problems(stack) for stack in stacks))
