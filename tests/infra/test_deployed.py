"""CloudFormation can deploy the templates, and the code finds what it needs there: a message goes through."""

import io
import json
import os
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Literal

import boto3
import pytest
from moto import mock_aws

from celeriac.aws import client as clients
from celeriac.aws import sqs
from celeriac.consume import quarantine
from celeriac.testing.calls import Calls
from celeriac.testing.clock import Clock
from celeriac.testing.lambda_ import invoke_consumer
from tests.application.desk import file_away
from tests.infra.template import Stack, Stage

ACCOUNT = "123456789012"
REGION: Literal["eu-west-1"] = "eu-west-1"
ASSETS = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
# moto has three gaps. It polls queues for a mapping itself, and hands messages over in another way than Lambda. It
# waits for ever for the answer of CDK's function that empties the bucket. It makes none of the alarms that the
# dashboard refers to.
LEFT_OUT = {"AWS::Lambda::EventSourceMapping", "Custom::S3AutoDeleteObjects", "AWS::CloudWatch::Dashboard"}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account in memory, bootstrapped for CDK."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "moto")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("CELERIAC_STAGE", "dev")
    monkeypatch.setattr(clients, "_client", cache(clients.make))
    monkeypatch.setattr(sqs, "urls", {})
    with mock_aws():
        boto3.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
        boto3.client("s3").create_bucket(Bucket=ASSETS, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield


def _deploy(stack: Stack) -> set[str]:
    """The physical names and ids of the resources that CloudFormation makes from a stack."""
    kept = {name: each for name, each in stack.json["Resources"].items() if each["Type"] not in LEFT_OUT}
    for each in kept.values():
        if "Code" in each.get("Properties", {}):
            key = each["Properties"]["Code"]["S3Key"]
            boto3.client("s3").put_object(Bucket=ASSETS, Key=key, Body=_an_archive())
    cloudformation = boto3.client("cloudformation")
    body = json.dumps({**stack.json, "Resources": kept})
    cloudformation.create_stack(StackName=stack.name, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])
    (described,) = cloudformation.describe_stacks(StackName=stack.name)["Stacks"]
    assert described["StackStatus"] == "CREATE_COMPLETE"
    made = cloudformation.describe_stack_resources(StackName=stack.name)["StackResources"]
    return {each.get("PhysicalResourceId", "") for each in made}


def _an_archive() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("tasks.py", "")
    return held.getvalue()


@pytest.mark.filterwarnings("ignore:Tried to parse .* not supported by moto")  # alarms, policies, schedules
def test_a_message_runs_in_the_deployed_stage(application: Stage, cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    state, work = _deploy(application.state), _deploy(application.work)
    function = boto3.client("lambda").get_function_configuration(FunctionName="celeriac-dev--desk")
    for name, value in function["Environment"]["Variables"].items():
        monkeypatch.setenv(name, value)

    handle = file_away.enqueue(paper="p-1")
    (url,) = [name for name in state if name.startswith("http") and name.endswith("/celeriac-dev--desk")]
    (message,) = boto3.client("sqs").receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"]
    quarantine.refresh()
    arn, nobody_watches = (
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:celeriac-dev--desk",
        Calls(lambda *_: None, Clock(datetime.now(UTC))),
    )
    done = invoke_consumer(nobody_watches, "celeriac-dev--desk", timedelta(seconds=30), [message], arn)

    assert done == {message["MessageId"]}
    assert (handle.status().state, handle.status().result) == ("succeeded", {"filed": "p-1"})
    assert "celeriac-dev--desk" in work
    assert "celeriac-dev--idempotency" in state
