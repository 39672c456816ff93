"""The stack `<application>-delivery`: GitHub's identity provider, and the roles of a repository's workflows."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from celeriac.model.stages import Project, StageSettings
from celeriac_cdk.config import StageConfig, context, switch
from celeriac_cdk.delivery import rights, trust
from celeriac_cdk.delivery.target import Target, account_of, targets
from celeriac_cdk.nag import acknowledge_wildcard, check_rules
from celeriac_cdk.permissions import arn

_STAGES = "dev,prod"
_REASON = "the stacks of a stage, and what its operator may do: constructs/access.py gives the reason of each"


class Delivery(Construct):
    """A role for pull requests, which reads, and one for each stage, which deploys it.

    Each role is trusted by one kind of job of one repository. A pull request from a fork gets no token from GitHub.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        application: str,
        repository: str,
        stages: Sequence[Target],
        provider_arn: str,
        qualifier: str,
    ) -> None:
        """Build the roles. qualifier: that of the account's `cdk bootstrap`."""
        super().__init__(scope, construct_id)
        self._start, self._provider, self._repository = f"{application}-delivery-", provider_arn, repository
        reader = self._role("pull-request", trust.PULL_REQUEST, "Compares pull requests with the deployed stages")
        for target in stages:
            self._allow(reader, [rights.look_at_stacks(target)])
            role = self._role(
                target.name, trust.environment(target.name), f"Deploys {target.name}", branch=target.branch
            )
            self._allow(role, rights.deploy(target, qualifier))
            for region in target.regions:
                role.add_managed_policy(self._operator(target, region))

    def _role(self, name: str, claim: str, description: str, *, branch: str | None = None) -> iam.Role:
        role = iam.Role(
            self,
            name,
            role_name=f"{self._start}{name}",
            description=description,
            assumed_by=trust.job(self._provider, self._repository, claim, branch=branch),
        )
        cdk.CfnOutput(
            self, f"{name}-arn", value=role.role_arn, description=f"{description}: {claim}"
        ).override_logical_id(f"{name.title().replace('-', '')}Role")
        return role

    def _operator(self, target: Target, region: str) -> iam.ManagedPolicy:
        # One for each region: together they may be longer than a policy can be.
        policy = iam.ManagedPolicy(
            self,
            f"{target.name}-operator-{'here' if cdk.Token.is_unresolved(region) else region}",
            description=f"What the smoke test of {target.name} needs",
        )
        self._allow(policy, rights.operate(target, region))
        return policy

    def _allow(self, to: iam.Role | iam.ManagedPolicy, statements: Sequence[iam.PolicyStatement]) -> None:
        for statement in statements:
            for resource in statement.resources:
                if "*" in resource:
                    acknowledge_wildcard(self, resource, _REASON)
            if isinstance(to, iam.Role):
                to.add_to_policy(statement)
            else:
                to.add_statements(statement)


def declare_delivery(app: cdk.App, project: Project) -> None:
    """Add the stack for the repository that `-c delivery=` names, and for the stages of `-c stages=`.

    Raises ConfigError or ProjectError for what can't be delivered.
    """
    repository = trust.check_repository(context(app.node, "delivery", ""))
    stages = targets(project, context(app.node, "stages", _STAGES))
    account = account_of(stages)
    stack = cdk.Stack(
        app,
        f"{project.name}-delivery",
        env=cdk.Environment(account=account) if account is not None else None,
        tags={"celeriac:application": project.name},
        description=f"Celeriac, {project.name}: the roles of the workflows of {repository}",
    )
    Delivery(
        stack,
        "Delivery",
        application=project.name,
        repository=repository,
        stages=stages,
        provider_arn=_provider(stack, existing=switch(app.node, "existing_provider")),
        qualifier=context(app.node, "@aws-cdk/core:bootstrapQualifier", cdk.DefaultStackSynthesizer.DEFAULT_QUALIFIER),
    )
    check_rules(app, StageConfig(project.name, "delivery", StageSettings()))


def _provider(stack: cdk.Stack, *, existing: bool) -> str:
    """The ARN of GitHub's identity provider. An account can have only one, which other applications may use too."""
    if existing:
        return arn("iam", f"oidc-provider/{trust.ISSUER}", region="")
    return iam.OidcProviderNative(
        stack,
        "GitHub",
        url=f"https://{trust.ISSUER}",
        client_ids=[trust.AUDIENCE],
        removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    ).oidc_provider_arn
