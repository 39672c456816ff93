"""The roles of the workflows: who may take them, and what they may do."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from celeriac.model.stages import Project, ProjectError, StageSettings
from celeriac_cdk.config import ConfigError
from celeriac_cdk.delivery.stack import declare_delivery
from celeriac_local.iam.policy import AccessCheck, Verdict, judge
from tests.infra.conftest import ROOT, Synth
from tests.infra.simulator import Statement, allowed, arn, read
from tests.infra.template import Stack, granted_by, listed

ACCOUNT, OTHER = "123456789012", "999999999999"
ISSUER = "token.actions.githubusercontent.com"
PREVIEWS = {"pr-*": StageSettings(ephemeral=True)}
BOOTSTRAP = ("deploy", "file-publishing", "lookup", "image-publishing", "cfn-exec")
JOB = {"aud": "sts.amazonaws.com", "sub": "repo:acme/shop:environment:prod", "ref": "refs/heads/main"}


def delivery(settings: dict[str, StageSettings] | None = None, /, **context: str) -> Stack:
    """The stack as `-c delivery=acme/shop` makes it. cdk-nag's findings stop the synth."""
    app = cdk.App(context={"delivery": "acme/shop", "stages": "dev,prod,pr-*", **context})
    declare_delivery(app, Project("celeriac", {**PREVIEWS, **(settings or {})}))
    (only,) = app.synth().stacks
    return Stack(only.stack_name, Template.from_json(only.template))


@pytest.fixture(scope="module")
def stack() -> Stack:
    return delivery()


def takes(stack: Stack, role: str, **claims: str) -> bool:
    """Whether a job with this token may take a role."""
    found = stack.named("IAM::Role", "RoleName", f"celeriac-delivery-{role}")
    trusted = [
        Statement(each["Effect"], listed(each["Action"]), ["*"], each["Condition"])
        for each in found["AssumeRolePolicyDocument"]["Statement"]
    ]
    context = {f"{ISSUER}:{key}": value for key, value in claims.items()}
    verdict = judge(trusted, AccessCheck("sts:AssumeRoleWithWebIdentity", ("*",), context))
    assert verdict is not Verdict.UNKNOWN
    return verdict is Verdict.ALLOWED


def rights(stack: Stack, role: str) -> list[Statement]:
    """All that a role may do."""
    found = stack.named("IAM::Role", "RoleName", f"celeriac-delivery-{role}")
    managed = [
        stack.json["Resources"][each["Ref"]]["Properties"]["PolicyDocument"]["Statement"]
        for each in found.get("ManagedPolicyArns", [])
    ]
    own = [
        statement for owner, statement in stack.statements() if stack.json["Resources"][owner]["Properties"] == found
    ]
    return read(stack, [*own, *(each for statements in managed for each in statements)])


def bootstrap_roles(statements: list[Statement], region: str) -> list[str]:
    """The roles of a region's bootstrap that may be taken."""
    return [
        role
        for role in BOOTSTRAP
        if allowed(statements, "sts:AssumeRole", arn("iam", f"role/cdk-hnb659fds-{role}-role-{ACCOUNT}-{region}"))
    ]


def test_the_environment_prod_on_main_deploys_prod(stack: Stack) -> None:
    assert takes(stack, "prod", **JOB)


@pytest.mark.parametrize(
    "other",
    [
        {"sub": "repo:mallory/shop:environment:prod"},  # a fork has the name of its own repository
        {"sub": "repo:acme/shop2:environment:prod"},
        {"sub": "repo:acme/shop:environment:dev"},
        {"sub": "repo:acme/shop:environment:production"},
        {"sub": "repo:acme/shop:ref:refs/heads/main"},
        {"sub": "repo:acme/shop:pull_request"},
        {"sub": "repo:acme@1/shop@2:environment:prod"},  # another repository under the name
        {"ref": "refs/heads/feature"},
        {"ref": "refs/pull/7/merge"},
        {"aud": "https://github.com/acme"},
    ],
    ids=lambda other: "-".join(other.values()),
)
def test_no_other_job_deploys_prod(stack: Stack, other: dict[str, str]) -> None:
    assert not takes(stack, "prod", **(JOB | other))


@pytest.mark.parametrize(
    ("role", "claim"),
    [("pull-request", "pull_request"), ("dev", "environment:dev"), ("preview", "environment:preview")],
)
def test_each_role_is_for_one_kind_of_job_of_one_repository(stack: Stack, role: str, claim: str) -> None:
    assert takes(stack, role, **(JOB | {"sub": f"repo:acme/shop:{claim}"}))
    assert not takes(stack, role, **JOB)
    assert not takes(stack, role, **(JOB | {"sub": f"repo:mallory/shop:{claim}"}))


def test_the_app_builds_nothing_else_for_a_repository(tmp_path: Path) -> None:
    context = json.dumps({"delivery": "acme/shop"})
    subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, "CDK_CONTEXT_JSON": context, "CDK_OUTDIR": str(tmp_path)},
        check=True,
    )
    assert [each.name for each in tmp_path.glob("*.template.json")] == ["celeriac-delivery.template.json"]


def test_a_subject_with_ids_is_trusted_with_these_ids_only() -> None:
    stack = delivery(delivery="acme@1/shop@2")
    assert takes(stack, "prod", **(JOB | {"sub": "repo:acme@1/shop@2:environment:prod"}))
    assert not takes(stack, "prod", **(JOB | {"sub": "repo:acme@3/shop@2:environment:prod"}))
    assert not takes(stack, "prod", **JOB)


def test_a_pull_request_reads_templates_and_nothing_else(stack: Stack) -> None:
    may = rights(stack, "pull-request")
    for stage in ("dev", "prod"):
        assert allowed(may, "cloudformation:GetTemplate", arn("cloudformation", f"stack/celeriac-{stage}--state/1"))
    assert not allowed(may, "cloudformation:GetTemplate", arn("cloudformation", "stack/books-prod--state/1"))
    assert {action for each in may for action in each.actions} == {
        "cloudformation:DescribeStacks",
        "cloudformation:GetTemplate",
    }
    assert bootstrap_roles(may, "eu-west-1") == []


def test_a_stage_is_deployed_by_the_roles_of_the_bootstrap_in_its_regions() -> None:
    stack = delivery({"prod": StageSettings(account=ACCOUNT, regions=("eu-west-1", "us-east-1"))}, stages="prod")
    may = rights(stack, "prod")
    for region in ("eu-west-1", "us-east-1"):
        assert bootstrap_roles(may, region) == ["deploy", "file-publishing", "lookup"]
        assert allowed(may, "sqs:SendMessage", f"arn:aws:sqs:{region}:{ACCOUNT}:celeriac-prod--mail")
    assert bootstrap_roles(may, "eu-central-1") == []
    assert not allowed(may, "sqs:SendMessage", f"arn:aws:sqs:eu-central-1:{ACCOUNT}:celeriac-prod--mail")


def test_a_role_works_on_its_own_stage_only(stack: Stack) -> None:
    for role, own, others in (
        ("prod", ["celeriac-prod"], ["celeriac-dev", "celeriac-pr-7", "books-prod"]),
        ("preview", ["celeriac-pr-7", "celeriac-pr-1234"], ["celeriac-prod", "celeriac-dev", "books-pr-7"]),
    ):
        may = rights(stack, role)
        for stage in (*own, *others):
            changes = allowed(
                may, "cloudformation:UpdateTerminationProtection", arn("cloudformation", f"stack/{stage}--work/1")
            )
            sends = allowed(may, "sqs:SendMessage", arn("sqs", f"{stage}--mail"))
            assert (changes, sends) == (stage in own, stage in own), stage


def test_the_first_stage_of_a_pull_request_can_be_a_stage_like_any_other() -> None:
    stack = delivery(stages="pr-0")
    assert not takes(stack, "pr-0", **(JOB | {"sub": "repo:acme/shop:environment:pr-0", "ref": "refs/heads/feature"}))
    assert not allowed(rights(stack, "pr-0"), "sqs:SendMessage", arn("sqs", "celeriac-pr-7--mail"))


def test_the_smoke_test_has_the_rights_of_the_stages_operator(stack: Stack, synth: Synth) -> None:
    operator = synth(stage="dev").state.policy("celeriac-dev--operator-${AWS::Region}")
    (copy,) = [each for name, each in _managed(stack).items() if name.startswith("Deliverydevoperator")]
    assert copy == operator


def test_the_key_of_a_stage_is_known_by_its_alias() -> None:
    (statement,) = [
        each
        for each in rights(delivery({"prod": StageSettings(kms=True)}, stages="prod"), "prod")
        if "kms:Decrypt" in each.actions
    ]
    assert statement.conditions["ForAnyValue:StringLike"] == {"kms:ResourceAliases": ["alias/celeriac-prod"]}
    assert not [each for each in rights(delivery(stages="prod"), "prod") if "kms:Decrypt" in each.actions]


def test_the_provider_is_made_once_for_an_account(stack: Stack) -> None:
    (provider,) = stack.resources("IAM::OIDCProvider")
    assert provider == {"ClientIdList": ["sts.amazonaws.com"], "Url": f"https://{ISSUER}"}
    existing = delivery(existing_provider="true")
    assert existing.resources("IAM::OIDCProvider") == []
    assert existing.kinds() == {"IAM::Role", "IAM::Policy", "IAM::ManagedPolicy"}  # no function of a custom resource


@pytest.mark.parametrize(
    ("settings", "context", "said"),
    [
        ({}, {"delivery": "acme"}, "no repository: write OWNER/REPO"),
        ({}, {"delivery": "acme/*"}, "no repository"),
        ({}, {"delivery": "acme@1/shop"}, "no repository"),
        ({}, {"stages": "Prod"}, "the stage 'Prod'"),
        ({}, {"stages": "local"}, "'local' is the local cloud"),
        ({"pr-*": StageSettings()}, {}, 'ephemeral = true under [stages."pr-*"]'),
        (
            {"dev": StageSettings(account=OTHER), "prod": StageSettings(account=ACCOUNT)},
            {},
            f"the stages are in several accounts (dev in {OTHER}, prod in {ACCOUNT})",
        ),
    ],
)
def test_a_mistake_is_one_sentence(settings: dict[str, Any], context: dict[str, str], said: str) -> None:
    with pytest.raises((ConfigError, ProjectError)) as raised:
        delivery(settings, **context)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def _managed(stack: Stack) -> dict[str, dict[str, set[str]]]:
    """What each managed policy without a name allows, by its logical id."""
    return {
        name: granted_by(stack.json["Resources"][name]["Properties"]["PolicyDocument"]["Statement"])
        for name in stack.logical_ids("IAM::ManagedPolicy")
    }
