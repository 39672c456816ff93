"""cdk-nag's AwsSolutions rules, checked in every synth. Each acknowledgement is in the code beside its resource."""

import aws_cdk as cdk
import jsii
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct

from celeriac.model import names
from celeriac_cdk.config import StageConfig

_PACK = "AwsSolutions"


def check_rules(app: cdk.App, config: StageConfig) -> None:
    """Check `app` during synth. Each finding says what to type.

    A finding without an acknowledgement stops the synth of a stage that keeps its data. In other stages it is a
    warning, so that a team can try a bucket before all its settings are right.
    """
    cdk.Validations.of(app).add_plugins(_Rules(config))


def acknowledge(scope: IConstruct, finding: str, reason: str) -> None:
    """Acknowledge a finding, such as `SQS3`, on `scope` and all constructs below it, with the reason."""
    cdk.Validations.of(scope).acknowledge(cdk.Acknowledgment(id=f"{_PACK}::{_PACK}-{finding}", reason=reason))


def acknowledge_wildcard(scope: IConstruct, resource: str, reason: str) -> None:
    """Acknowledge that roles on `scope` and below it name a `resource` with a wildcard.

    `resource` is an ARN as permissions.py writes it, or as cdk-nag writes it, e.g. with <AWS::Region>.
    """
    for token in (cdk.Aws.PARTITION, cdk.Aws.REGION, cdk.Aws.ACCOUNT_ID):
        reference = cdk.Stack.of(scope).resolve(token)["Ref"]
        resource = resource.replace(token, f"<{reference}>")
    acknowledge(scope, f"IAM5[Resource::{resource}]", reason)


def what_to_type(finding: str, path: str, stage: str) -> str:
    """Return the cure of a finding, with the code to paste.

    `finding` is an id such as `AwsSolutions-S1` or `AwsSolutions-IAM5[Resource::*]`. `path` is the construct's path.
    """
    short = finding.removeprefix(f"{_PACK}-")
    _, owner, *below = (part for part in path.split("/") if part != "Default")
    if owner == "Application":  # of infra/application.py
        return (
            "change the resource, or if it is right as it is, add this at the end of ApplicationState.__init__ in "
            f"infra/application.py, with `from celeriac_cdk.nag import acknowledge` at its top:\n"
            f'acknowledge(self.node.find_child("{below[0]}"), {_literal(short, stage)}, "the reason why")'
        )
    if short.startswith("IAM5[Resource::"):
        resource = short.removeprefix("IAM5[Resource::").removesuffix("]")
        return (
            f"name the resource in full, {_literal(resource, stage)}, or if that is impossible, add its reason where a "
            'queue gets it: .allow(..., because="the reason why")'
        )
    if short.startswith("IAM5[Action::"):
        return "name each action in full, in the `.allow` of infra/application.py"
    return (
        f"change the resource, or if it is right as it is, add this to the code that builds {path}, and replace `it` "
        "by the variable of the resource:\n"
        f'acknowledge(it, {_literal(short, stage)}, "the reason why")'
    )


def _literal(text: str, stage: str) -> str:
    """Return `text` as a Python literal that is right for every stage."""
    prefix = names.prefix(stage)
    if prefix not in text:
        return f'"{text}"'
    return f'f"{text.replace(prefix, prefix.removesuffix(stage) + "{config.stage}")}"'


@jsii.implements(cdk.IPolicyValidationPlugin)
class _Rules:
    """cdk-nag's checks. Each finding says what to type.

    The plugin has the name of the checks, because the id of an acknowledgement begins with it.
    """

    def __init__(self, config: StageConfig) -> None:
        self._config = config
        self._checks = AwsSolutionsChecks()

    @property
    def name(self) -> str:
        return _PACK

    @property
    def rule_ids(self) -> list[str] | None:
        return None

    @property
    def version(self) -> str | None:
        return None

    def validate(self, context: cdk.IPolicyValidationContext) -> cdk.PolicyValidationPluginReport:
        violations = [
            cdk.PolicyViolation(
                rule_name=found.rule_name,
                description=found.description,
                severity="error" if self._config.keep_data else "warning",
                fix=what_to_type(found.rule_name, resource.construct_path or "", self._config.stage),
                violating_resources=[resource],
            )
            for found in self._checks.validate(context).violations
            for resource in found.violating_resources
        ]
        return cdk.PolicyValidationPluginReport(
            success=not (violations and self._config.keep_data), violations=violations
        )
