"""A synthesized stage, in the form that its tests need: resources by type, intrinsics as text."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aws_cdk.assertions import Template

type Resource = Mapping[str, Any]


class Stack:
    """The CDK's own `Template`, and questions that it can't answer: about names, and about rights."""

    def __init__(self, name: str, template: Template) -> None:
        self.name = name
        self._template = template

    @cached_property
    def json(self) -> Mapping[str, Any]:
        return self._template.to_json()

    def resources(self, kind: str) -> list[Resource]:
        """The properties of every resource of a type, such as `SQS::Queue`."""
        return [each.get("Properties", {}) for each in self._template.find_resources(f"AWS::{kind}").values()]

    def logical_ids(self, kind: str) -> list[str]:
        """The logical ids of every resource of a type."""
        return list(self._template.find_resources(f"AWS::{kind}"))

    def named(self, kind: str, key: str, name: str) -> Resource:
        """The one resource of a type whose property `key` is `name`."""
        (found,) = [resource for resource in self.resources(kind) if key in resource and text(resource[key]) == name]
        return found

    def kinds(self) -> set[str]:
        return {resource["Type"].removeprefix("AWS::") for resource in self.json["Resources"].values()}

    def name_of(self, reference: Any, key: str) -> str:
        """The name of the resource that a Ref or GetAtt points to."""
        logical = reference["Ref"] if "Ref" in reference else reference["Fn::GetAtt"][0]
        return text(self.json["Resources"][logical]["Properties"][key])

    def statements(self) -> list[tuple[str, Resource]]:
        """Every statement of a role's policy, with the role's logical id."""
        return [
            (policy["Roles"][0]["Ref"], statement)
            for policy in self.resources("IAM::Policy")
            for statement in policy["PolicyDocument"]["Statement"]
        ]

    def granted(self, function: str) -> dict[str, set[str]]:
        """The resources on which a function may do each action."""
        role = self.named("Lambda::Function", "FunctionName", function)["Role"]["Fn::GetAtt"][0]
        return granted_by([statement for owner, statement in self.statements() if owner == role])

    def policy(self, name: str) -> dict[str, set[str]]:
        """The resources on which a managed policy allows each action."""
        return granted_by(self.named("IAM::ManagedPolicy", "ManagedPolicyName", name)["PolicyDocument"]["Statement"])


def granted_by(statements: list[Resource]) -> dict[str, set[str]]:
    granted: dict[str, set[str]] = {}
    for statement in statements:
        if statement["Effect"] != "Allow":
            continue
        for action in listed(statement["Action"]):
            granted.setdefault(action, set()).update(text(on) for on in listed(statement["Resource"]))
    return granted


@dataclass(frozen=True)
class Stage:
    state: Stack
    work: Stack


def text(value: Any) -> str:
    """A name or ARN, with CloudFormation's intrinsics written as `${...}`."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(text(part) for part in parts)
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": pattern}:
            return str(pattern)
        case {"Fn::ImportValue": name}:
            return f"${{import {text(name)}}}"
    raise AssertionError(value)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def queue_arn(name: str) -> str:
    return f"arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{name}"


def table_arn(name: str) -> str:
    return f"arn:${{AWS::Partition}}:dynamodb:${{AWS::Region}}:${{AWS::AccountId}}:table/{name}"
