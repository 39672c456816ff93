"""What a workflow may do by itself, beside what the CDK's own roles do for it."""

import json

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from celeriac.model import names
from celeriac_cdk.constructs.access import operator_rights
from celeriac_cdk.constructs.key import USE
from celeriac_cdk.delivery.target import Target
from celeriac_cdk.permissions import arn, role_arn

_BOOTSTRAP = ("deploy", "file-publishing", "lookup")
"""The roles of `cdk bootstrap` that `cdk deploy` takes. The functions are files, so none for images."""


def look_at_stacks(target: Target) -> iam.PolicyStatement:
    """Allow what `make diff`, `celeriac plan` and the checks before a deploy read: the stage's stacks and templates."""
    return iam.PolicyStatement(
        actions=["cloudformation:DescribeStacks", "cloudformation:GetTemplate"], resources=_stacks(target)
    )


def deploy(target: Target, qualifier: str) -> list[iam.PolicyStatement]:
    """Allow to take the roles of the bootstrap in the stage's regions.

    Before the CDK replaces a stack whose creation failed, `make deploy` takes its protection off, without these roles.
    """
    here = cdk.Aws.ACCOUNT_ID
    return [
        iam.PolicyStatement(
            actions=["sts:AssumeRole"],
            resources=[
                role_arn(f"cdk-{qualifier}-{role}-role-{here}-{region}")
                for region in target.regions
                for role in _BOOTSTRAP
            ],
        ),
        look_at_stacks(target),
        iam.PolicyStatement(actions=["cloudformation:UpdateTerminationProtection"], resources=_stacks(target)),
    ]


def operate(target: Target, region: str) -> list[iam.PolicyStatement]:
    """Allow what the stage's operator may do in one of its regions: `celeriac smoke` and `celeriac doctor`.

    The policy `operator` of the stage can't be attached, because it exists only after the first deploy.
    """
    statements = operator_rights(target.stage)
    if target.has_key:
        statements.append(_use_key(target.stage))
    return [
        iam.PolicyStatement.from_json(
            json.loads(target.in_names(json.dumps(each.to_statement_json())).replace(cdk.Aws.REGION, region))
        )
        for each in statements
    ]


def _use_key(stage: str) -> iam.PolicyStatement:
    """The key's id is known only when it is made, but not its alias."""
    services = [f"{service}.{cdk.Aws.REGION}.amazonaws.com" for service in ("dynamodb", "s3", "scheduler", "sqs")]
    return iam.PolicyStatement(
        actions=list(USE),
        resources=[arn("kms", "key/*")],
        conditions={
            "StringEquals": {"kms:ViaService": services},
            "ForAnyValue:StringLike": {"kms:ResourceAliases": [f"alias/{names.prefix(stage)}"]},
        },
    )


def _stacks(target: Target) -> list[str]:
    return [arn("cloudformation", f"stack/{target.start}*/*", region=region) for region in target.regions]
