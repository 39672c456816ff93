"""The sizes that AWS limits, of what a synth has written. The CDK warns of some, and of others it says nothing."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from aws_cdk import cx_api as cxapi

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
_MOST_TEMPLATE_BYTES = 1_000_000
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_MOST_OF_A_MANAGED_POLICY, _MOST_INLINE, _MOST_ATTACHED = 6_144, 10_240, 10
# As long as any of them is.
_REFERENCES = {"AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-2", "AWS::AccountId": "1" * 12}


def problems(assembly: cxapi.CloudAssembly) -> Iterator[str]:
    """Say which template, policy or role is larger than AWS takes."""
    for stack in assembly.stacks:
        with open(stack.template_full_path, "rb") as file:  # noqa: PTH123 - a path that the CDK gives as text
            size = len(file.read())
        if size > _MOST_TEMPLATE_BYTES:
            yield (
                f"the template of the stack {stack.stack_name} has {size} bytes, and CloudFormation takes "
                f"{_MOST_TEMPLATE_BYTES}: let tasks share queues, or split the application into two"
            )
        template: Mapping[str, Any] = stack.template
        for logical_id, resource in template["Resources"].items():
            yield from _of_resource(stack.stack_name, logical_id, resource)


def _of_resource(stack: str, logical_id: str, resource: Mapping[str, Any]) -> Iterator[str]:
    properties = resource.get("Properties", {})
    limits = {"AWS::IAM::Policy": _MOST_INLINE, "AWS::IAM::ManagedPolicy": _MOST_OF_A_MANAGED_POLICY}
    most = limits.get(resource["Type"])
    if most is not None:
        size = len(_written(properties["PolicyDocument"]))
        if size > most:
            yield (
                f"a policy of the stack {stack} has {size} characters, and IAM takes {most} ({logical_id}): name fewer "
                "resources in one .allow of infra/application.py, or let the queue have fewer tasks"
            )
    if resource["Type"] == "AWS::IAM::Role" and len(properties.get("ManagedPolicyArns", [])) > _MOST_ATTACHED:
        yield (
            f"a role of the stack {stack} needs {len(properties['ManagedPolicyArns'])} policies, and IAM takes "
            f"{_MOST_ATTACHED} ({logical_id}): let the queue have fewer tasks, or give it fewer rights"
        )


def _written(document: Any) -> str:
    """A policy as IAM measures it: with the names in place of references, and without white space."""
    return json.dumps(_resolved(document), separators=(",", ":"))


def _resolved(value: Any) -> Any:
    match value:
        case {"Ref": name}:
            return _REFERENCES.get(name, "x" * 64)
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(str(_resolved(part)) for part in parts)
        case {"Fn::GetAtt": _} | {"Fn::ImportValue": _}:
            return "x" * 128
        case dict():
            return {key: _resolved(each) for key, each in value.items()}
        case list():
            return [_resolved(each) for each in value]
    return value
