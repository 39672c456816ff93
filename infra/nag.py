"""cdk-nag's AwsSolutions rules, checked in every synth. What is acknowledged stands beside what it is about."""

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct


def check_rules(app: cdk.App) -> None:
    """Let synth fail for whatever the rules find and nobody has acknowledged."""
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(scope: IConstruct, finding: str, reason: str) -> None:
    """Take note of a finding, `SQS3` say, on `scope` and what is below it: it is as it should be, for this reason."""
    cdk.Validations.of(scope).acknowledge(cdk.Acknowledgment(id=f"AwsSolutions::AwsSolutions-{finding}", reason=reason))


def acknowledge_wildcard(scope: IConstruct, resource: str, reason: str) -> None:
    """Take note of roles at and below `scope` that name a `resource` with a wildcard.

    `resource` is an ARN as infra/permissions.py writes it; cdk-nag has pseudo parameters in angle brackets.
    """
    for token in (cdk.Aws.PARTITION, cdk.Aws.REGION, cdk.Aws.ACCOUNT_ID):
        reference = cdk.Stack.of(scope).resolve(token)["Ref"]
        resource = resource.replace(token, f"<{reference}>")
    acknowledge(scope, f"IAM5[Resource::{resource}]", reason)
