"""cdk-nag's findings on a user's own resource: a kept stage stops, others only warn, and both say what to type."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from celeriac_cdk.config import read_config
from celeriac_cdk.nag import acknowledge, acknowledge_wildcard, check_rules, what_to_type
from tests.infra.conftest import PROJECT

type After = Callable[[Construct, Construct], None]


def synthesize(stage: str, after: After = lambda state, work: None) -> list[dict[str, Any]]:
    """Synthesize a small stage with a bucket of the application and a role with a wildcard. Returns the findings."""
    app = cdk.App(context={"stage": stage})
    application = Construct(cdk.Stack(app, f"celeriac-{stage}--state"), "Application")
    s3.Bucket(application, "Mine", enforce_ssl=True)
    work = cdk.Stack(app, f"celeriac-{stage}--work")
    role = iam.Role(work, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    objects = f"arn:{cdk.Aws.PARTITION}:s3:::celeriac-{stage}--mine-{cdk.Aws.REGION}/*"
    role.add_to_policy(iam.PolicyStatement(actions=["s3:PutObject"], resources=[objects]))
    after(application, work)
    check_rules(app, read_config(app.node, PROJECT))
    report = Path(app.synth().directory, "validation-report.json")
    return [each for plugin in json.loads(report.read_text())["pluginReports"] for each in plugin["violations"]]


def advice(report: str, start: str) -> str:
    """The line of a report that the user must paste."""
    (line,) = {line.strip() for line in report.splitlines() if line.strip().startswith(start)}
    return line


def test_a_kept_stage_stops_at_a_finding_and_passes_with_the_lines_that_it_prints() -> None:
    with pytest.raises(RuntimeError, match="S3 Bucket has server access logs disabled") as stopped:
        synthesize("prod")
    bucket = advice(str(stopped.value), "acknowledge(")
    assert 'add its reason where a queue gets it: .allow(..., because="the reason why")' in str(stopped.value)
    (objects,) = re.findall(r"name the resource in full, (.*), or", str(stopped.value))

    assert bucket == 'acknowledge(self.node.find_child("Mine"), "S1", "the reason why")'

    def paste(application: Construct, work: Construct) -> None:
        config = read_config(work.node, PROJECT)
        exec(bucket, {"self": application, "acknowledge": acknowledge})  # noqa: S102 - Celeriac's own text
        acknowledge_wildcard(work, eval(objects, {"config": config}), "the reason why")  # noqa: S307

    assert synthesize("prod", paste) == []
    assert synthesize("dev", paste) == []  # the same lines fit the names of another stage


@pytest.mark.parametrize("stage", ["local", "dev"])
def test_a_stage_that_is_not_kept_warns_and_continues(stage: str) -> None:
    bucket, wildcard = synthesize(stage)

    assert (bucket["severity"], wildcard["severity"]) == ("warning", "warning")
    assert advice(bucket["suggestedFix"], "acknowledge(")
    assert "because=" in wildcard["suggestedFix"]


def test_a_wildcard_of_actions_cannot_be_acknowledged() -> None:
    said = what_to_type("AwsSolutions-IAM5[Action::s3:Get*]", "celeriac-dev--work/Consumer-a/Role/Resource", "dev")

    assert said == "name each action in full, in the `.allow` of infra/application.py"


def test_a_resource_outside_the_application_is_named_by_its_path() -> None:
    said = what_to_type("AwsSolutions-SQS3", "celeriac-dev--state/Mine/Resource", "dev")

    assert "celeriac-dev--state/Mine/Resource" in said
    assert said.endswith('acknowledge(it, "SQS3", "the reason why")')
