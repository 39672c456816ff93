"""Several stages can live in one account, and a queue's numbers can change without a replacement."""

import json
from datetime import timedelta
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sqs as sqs
from msgspec.structs import replace

from celeriac import Queue
from celeriac.model.errors import DeclarationError
from celeriac_cdk.config import read_config
from celeriac_cdk.declarations.load import MOST_QUEUES, check_number
from celeriac_cdk.stacks.stage import synthesize
from celeriac_cdk.stacks.state import StateStack
from tests.infra.conftest import PROJECT, QUEUES, ApplicationState, Synth, build
from tests.infra.template import Resource, Stage, text

# CloudFormation replaces a resource if these change: "Update requires: Replacement" in its reference.
NAMES = {
    "AWS::SQS::Queue": ("QueueName", "FifoQueue"),
    "AWS::DynamoDB::Table": ("TableName", "KeySchema"),
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::Lambda::Function": ("FunctionName",),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::CloudWatch::Alarm": ("AlarmName",),
    "AWS::CloudWatch::Dashboard": ("DashboardName",),
    "AWS::SNS::Topic": ("TopicName",),
    "AWS::IAM::Role": ("RoleName",),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName",),
    "AWS::Scheduler::ScheduleGroup": ("Name",),
    "AWS::Scheduler::Schedule": ("GroupName", "Name"),
    "AWS::SecretsManager::Secret": ("Name",),
    "AWS::KMS::Alias": ("AliasName",),
    "AWS::Events::EventBus": ("Name",),
}


INTRINSICS = {"Ref", "Fn::Join", "Fn::GetAtt", "Fn::ImportValue"}


def resources(stage: Stage) -> dict[str, Resource]:
    return {**stage.state.json["Resources"], **stage.work.json["Resources"]}


def named(stage: Stage) -> set[tuple[str, ...]]:
    """The names that the stacks set. They are unique in an account and region."""
    found = set()
    for each in resources(stage).values():
        keys = NAMES.get(each["Type"], ())
        given = [text(each["Properties"][key]) for key in keys if isinstance(each["Properties"].get(key), str | dict)]
        if keys and keys[0] in each["Properties"]:
            found.add((each["Type"], *given))
    return found


@pytest.mark.parametrize("options", [{}, {"kms": "true", "canary": "true"}], ids=["plain", "kms and canary"])
def test_two_stages_share_no_name(synth: Synth, options: dict[str, str]) -> None:
    blue, green = synth(stage="blue", **options), synth(stage="green", **options)

    assert len(named(blue)) > 40
    assert not named(blue) & named(green)
    exports = [
        {each["Export"]["Name"] for each in one.state.json["Outputs"].values() if "Export" in each}
        for one in (blue, green)
    ]
    assert not exports[0] & exports[1]


def test_a_queues_numbers_change_in_place() -> None:
    def built(queues: tuple[Queue, ...]) -> dict[str, Any]:
        app = cdk.App(context={"stage": "test"})
        state = StateStack(
            app, read_config(app.node, PROJECT), queues=queues, tables=(), tasks=(), application=ApplicationState
        )
        found: dict[str, Any] = app.synth().get_stack_by_name(state.stack_name).template["Resources"]
        return found

    changed = tuple(
        replace(
            queue,
            timeout=timedelta(seconds=50),
            concurrency=7,
            batch_size=2,
            batch_window=timedelta(),
            max_concurrency=None if queue.pollers else 33,
            max_receives=40,
            retention=timedelta(days=3),
            dead_letter_retention=timedelta(days=9),
            max_body_bytes=9_999,
        )
        for queue in QUEUES
    )
    before, after = built(QUEUES), built(changed)

    assert before.keys() == after.keys()
    queues = {name for name, each in before.items() if each["Type"] == "AWS::SQS::Queue"}
    assert any(before[name] != after[name] for name in queues)
    for name in queues:
        for replaces in ("QueueName", "FifoQueue"):
            assert before[name]["Properties"].get(replaces) == after[name]["Properties"].get(replaces)


def test_the_longest_physical_names_fit(synth: Synth) -> None:
    longest = {
        "AWS::SQS::Queue": 80,  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
        "AWS::Lambda::Function": 64,
        "AWS::IAM::Role": 64,
        "AWS::S3::Bucket": 63,
        "AWS::Scheduler::ScheduleGroup": 64,
        "AWS::CloudWatch::Alarm": 255,
        "AWS::IAM::ManagedPolicy": 128,
    }
    app = cdk.App(context={"stage": "s" * 16})
    state = StateStack(
        app,
        read_config(app.node, PROJECT),
        queues=[Queue("q" * 37, fifo=True)],
        tables=(),
        tasks=(),
        application=ApplicationState,
    )
    template = app.synth().get_stack_by_name(state.stack_name).template
    for each in template["Resources"].values():
        for key in NAMES.get(each["Type"], ()):
            if key.endswith("Name") and key in each.get("Properties", {}):
                name = text(each["Properties"][key]).replace("${AWS::AccountId}", "1" * 12)
                name = name.replace("${AWS::Region}", "ap-southeast-7")
                assert len(name) <= longest.get(each["Type"], 255), name
    assert len(Queue("q" * 37).function_name("s" * 16)) <= longest["AWS::Lambda::Function"]


@pytest.mark.parametrize(
    "options",
    [{}, {"stage": "prod"}, {"stage": "local"}, {"kms": "true", "canary": "true"}],
    ids=["dev", "prod", "local", "kms and canary"],
)
def test_cdk_nag_finds_nothing_that_is_not_acknowledged(synth: Synth, options: dict[str, str]) -> None:
    synth(**{"stage": "test", "rules": "true", **options})  # raises for each finding


@pytest.mark.parametrize("stage", ["local", "test", "prod"])
def test_error_texts_are_logged_only_in_the_local_stage(synth: Synth, stage: str) -> None:
    functions = synth(stage=stage).work.resources("Lambda::Function")
    assert {"CELERIAC_LOG_ERROR_TEXTS" in each["Environment"]["Variables"] for each in functions} == {stage == "local"}


def test_a_stage_with_its_own_key_encrypts_everything_with_it(synth: Synth) -> None:
    stage = synth(stage="test", kms="true")
    (key,) = stage.state.logical_ids("KMS::Key")
    (exported,) = [
        each["Export"]["Name"]
        for each in stage.state.json["Outputs"].values()
        if each["Value"] == {"Fn::GetAtt": [key, "Arn"]}
    ]
    here, there = {"Fn::GetAtt": [key, "Arn"]}, {"Fn::ImportValue": exported}

    for queue in stage.state.resources("SQS::Queue"):
        assert queue["KmsMasterKeyId"] == here
    for table in stage.state.resources("DynamoDB::Table"):
        assert table["SSESpecification"] == {"KMSMasterKeyId": here, "SSEEnabled": True, "SSEType": "KMS"}
    (bucket,) = stage.state.resources("S3::Bucket")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"KMSMasterKeyID": here, "SSEAlgorithm": "aws:kms"}
    assert [secret["KmsKeyId"] for secret in stage.state.resources("SecretsManager::Secret")] == [here]
    assert [topic["KmsMasterKeyId"] for topic in stage.state.resources("SNS::Topic")] == [here] * 2
    assert {str(log["KmsKeyId"]) for log in stage.state.resources("Logs::LogGroup")} == {str(here)}
    for function in stage.work.resources("Lambda::Function"):
        assert function["KmsKeyArn"] == function["Environment"]["Variables"]["CELERIAC_KMS_KEY"] == there
    crons = [each for each in stage.work.resources("Scheduler::Schedule") if "GroupName" in each]
    assert [each["KmsKeyArn"] for each in crons] == [there] * 2


def test_the_key_may_be_used_only_through_aws_services(synth: Synth) -> None:
    stage = synth(stage="test", kms="true")
    (key,) = stage.state.resources("KMS::Key")
    principals = {
        text(statement["Principal"].get("Service", "")): statement for statement in key["KeyPolicy"]["Statement"]
    }

    assert key["EnableKeyRotation"] is True
    assert {"cloudwatch.amazonaws.com", "events.amazonaws.com", "logs.${AWS::Region}.amazonaws.com"} <= set(principals)
    for service in ("cloudwatch.amazonaws.com", "events.amazonaws.com"):
        assert principals[service]["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    ((operator, condition),) = principals["logs.${AWS::Region}.amazonaws.com"]["Condition"].items()
    ((context, groups),) = condition.items()
    assert (operator, context) == ("ArnLike", "kms:EncryptionContext:aws:logs:arn")
    assert text(groups).endswith(":log-group:/aws/lambda/celeriac-test--*")

    users = [
        (owner, statement)
        for stack in (stage.state, stage.work)
        for owner, statement in stack.statements()
        if "kms:Decrypt" in statement["Action"]
    ]
    roles = {role for role in stage.work.logical_ids("IAM::Role") if "SweeperSchedulerRole" not in role}
    assert roles <= {owner for owner, _ in users}
    scheduler = ["scheduler", "sqs"]
    inline = [
        (f"SchedulesRole of {text(role['RoleName'])}", statement)
        for role in stage.state.resources("IAM::Role")
        for policy in role.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
        if "kms:Decrypt" in statement["Action"]
    ]
    assert len(inline) == len(QUEUES)
    users += inline
    function = ["dynamodb", "lambda", "s3", "scheduler", "secretsmanager", "sqs"]
    for owner, statement in users:
        services = statement["Condition"]["StringEquals"]["kms:ViaService"]
        expected = scheduler if owner.startswith("SchedulesRole") else function
        assert [text(service) for service in services] == [
            f"{each}.${{AWS::Region}}.amazonaws.com" for each in expected
        ]
    for policy in ("producer-mail", "operator"):
        assert "kms:GenerateDataKey" in stage.state.policy(f"celeriac-test--{policy}-${{AWS::Region}}")


def test_a_key_is_prepared_before_anything_is_encrypted_with_it(synth: Synth) -> None:
    """Step by step, no message meets a role that may not use the key."""
    plain, prepared, on = (synth(stage="test", **options) for options in ({}, {"kms": "prepare"}, {"kms": "true"}))
    assert [one.state.json["Outputs"]["Kms"]["Value"] for one in (plain, prepared, on)] == ["off", "prepared", "on"]

    assert not plain.state.resources("KMS::Key")
    (early,), (late,) = prepared.state.resources("KMS::Key"), on.state.resources("KMS::Key")
    assert all(each in late["KeyPolicy"]["Statement"] for each in early["KeyPolicy"]["Statement"])
    services = {
        text(each["Principal"]["Service"]) for each in early["KeyPolicy"]["Statement"] if "Service" in each["Principal"]
    }
    assert services == {"cloudwatch.amazonaws.com", "events.amazonaws.com", "logs.${AWS::Region}.amazonaws.com"}
    for kind, key in (
        ("SQS::Queue", "KmsMasterKeyId"),
        ("Logs::LogGroup", "KmsKeyId"),
        ("SNS::Topic", "KmsMasterKeyId"),
    ):
        assert all(key in each for each in on.state.resources(kind))
        assert not any(key in each for each in prepared.state.resources(kind))
    for table in prepared.state.resources("DynamoDB::Table"):
        assert not table.get("SSESpecification")
    for function in prepared.work.resources("Lambda::Function"):
        assert "CELERIAC_KMS_KEY" not in function["Environment"]["Variables"]
        assert "KmsKeyArn" not in function
    rights = [statement for _, statement in prepared.work.statements() if "kms:Decrypt" in statement["Action"]]
    assert rights == [statement for _, statement in on.work.statements() if "kms:Decrypt" in statement["Action"]]
    for policy in ("producer-mail", "emitter", "reader", "operator"):
        assert "kms:Decrypt" in prepared.state.policy(f"celeriac-test--{policy}-${{AWS::Region}}")


def test_a_canary_release_is_rolled_back_by_the_alarm_of_its_new_version(synth: Synth) -> None:
    plain, careful = synth(stage="test").work, synth(stage="test", canary="true").work
    assert not plain.resources("CodeDeploy::DeploymentGroup")

    groups = careful.resources("CodeDeploy::DeploymentGroup")
    assert len(groups) == len(QUEUES) + 2  # relay and sweeper switch as the consumers do
    alarms = {each["Name"]["Ref"] for group in groups for each in group["AlarmConfiguration"]["Alarms"]}
    names = [text(careful.json["Resources"][alarm]["Properties"]["AlarmName"]) for alarm in alarms]
    # CloudWatch keeps the state of an alarm that is updated, and a broken version must not stop the one that mends it.
    assert all(name.endswith(".Version}") for name in names)
    named = {name.rpartition("-$")[0] for name in names}
    assert named == {
        *(f"celeriac-test--{queue.name}-canary-{what}" for queue in QUEUES for what in ("errors", "tasks")),
        "celeriac-test--relay-canary-errors",
        "celeriac-test--sweeper-canary-errors",
    }
    for alarm in alarms:
        # The alarm is on the new version only. CodeDeploy deploys nothing while an alarm is on, not even the fix for
        # the old version.
        watched = {each["Name"]: each["Value"] for each in careful.json["Resources"][alarm]["Properties"]["Dimensions"]}
        if "FunctionName" in watched:
            assert watched["Resource"] == f"{watched['FunctionName']}:live"
            assert watched["ExecutedVersion"]["Fn::GetAtt"][1] == "Version"
        else:
            assert watched["version"]["Fn::GetAtt"][1] == "Version"
    for group in groups:
        assert group["AutoRollbackConfiguration"]["Events"] == ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"]
        assert "Canary10Percent5Minutes" in text(group["DeploymentConfigName"])
    fed = [each["FunctionName"] for each in careful.resources("Lambda::EventSourceMapping")]
    fed += [each["Target"]["Arn"] for each in careful.resources("Scheduler::Schedule") if "GroupName" not in each]
    for alias in careful.logical_ids("Lambda::Alias"):
        assert sum(alias in str(each) for each in fed) == 1
    (invoked,) = [s for _, s in careful.statements() if s["Action"] == "lambda:InvokeFunction"]
    assert "Live" in str(invoked["Resource"])


@pytest.mark.parametrize(("options", "expected"), [({}, None), ({"plain_botocore": "true"}, "off")])
def test_botocore_makes_every_call_by_itself_if_asked(
    synth: Synth, options: dict[str, str], expected: str | None
) -> None:
    # CDK's own functions, for its custom resources, have other variables.
    found = [each.get("Environment", {}) for each in synth(stage="test", **options).work.resources("Lambda::Function")]
    ours = [each["Variables"] for each in found if "CELERIAC_STAGE" in each.get("Variables", {})]
    assert ours
    assert {variables.get("CELERIAC_WIRE") for variables in ours} == {expected}


def test_the_largest_number_of_queues_fits_into_the_limits_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    queues = [Queue(f"{'q' * 34}-{number:02}", fifo=number % 2 == 0) for number in range(MOST_QUEUES)]
    check_number(queues)
    state, work = build(queues, stage="s" * 16, kms="true", canary="true")

    for stack in (state, work):
        assert len(stack.json["Resources"]) <= 500
        assert len(json.dumps(stack.json)) <= 1_000_000
    for policy in state.resources("IAM::ManagedPolicy"):
        assert len(written(policy["PolicyDocument"])) <= 6_144
    for policy in work.resources("IAM::Policy"):
        assert len(written(policy["PolicyDocument"])) <= 10_240
    for query in work.resources("Logs::QueryDefinition"):
        assert len(query["LogGroupNames"]) <= 50
    (dashboard,) = work.resources("CloudWatch::Dashboard")
    widgets = json.loads(text(dashboard["DashboardBody"]))["widgets"]
    assert len(widgets) <= 500
    assert max(len(widget["properties"].get("alarms", [])) for widget in widgets) <= 100
    assert sum(len(widget["properties"].get("alarms", [])) for widget in widgets) > 100
    for alarm in work.resources("CloudWatch::Alarm"):
        assert len(alarm["AlarmDescription"]) <= 1_024
    with pytest.raises(
        DeclarationError, match="declares 29 queues, but only 28 fit into the policies of a role: 'one-more'"
    ):
        check_number([*queues, Queue("one-more")])


def test_more_resources_than_a_stack_can_have_are_refused_in_a_sentence() -> None:
    app = cdk.App()
    stack = cdk.Stack(app, "celeriac-prod--work")
    for number in range(501):
        sqs.CfnQueue(stack, f"Queue{number}")
    with pytest.raises(DeclarationError, match=r"'?celeriac-prod--work'? would have 501 resources, .* takes 500: let"):
        synthesize(app)


def written(document: object) -> str:
    """A policy's text as IAM measures it: resolved, without white space."""
    resolved = json.loads(json.dumps(document), object_hook=lambda each: text(each) if set(each) & INTRINSICS else each)
    lengths = {"AWS::Partition": "aws", "AWS::Region": "ap-southeast-7", "AWS::AccountId": "1" * 12}
    whole = json.dumps(resolved, separators=(",", ":"))
    for name, value in lengths.items():
        whole = whole.replace(f"${{{name}}}", value)
    return whole


def test_provisioned_pollers_replace_the_concurrency_limit(synth: Synth) -> None:
    (mapping,) = [
        each
        for each in synth(stage="test").work.resources("Lambda::EventSourceMapping")
        if "celeriac-test--spiky" in text(each["EventSourceArn"])
    ]
    assert mapping["ProvisionedPollerConfig"] == {"MinimumPollers": 2, "MaximumPollers": 20}
    assert "ScalingConfig" not in mapping
