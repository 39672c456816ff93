"""Rules for a stage as a whole: two stacks, fixed names, one bundle, its own settings."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_cdk import cx_api as cxapi

from celeriac.model.stages import Project, StageSettings
from celeriac_cdk.config import ConfigError, StageConfig
from celeriac_cdk.stacks import stage as stage_module
from tests.application import queues
from tests.infra.conftest import SECRET, Synth, assembly, built
from tests.infra.template import Stage, text

ROOT = Path(__file__).parents[2]
STATEFUL = {
    *("SQS::Queue", "DynamoDB::Table", "S3::Bucket", "SecretsManager::Secret"),
    "Logs::LogGroup",
}


def test_resources_with_data_are_in_another_stack_than_code(stage: Stage) -> None:
    assert stage.state.kinds() >= STATEFUL
    assert "Lambda::EventSourceMapping" not in stage.state.kinds()
    # The only functions are CDK's own, which empty the bucket of a destroyed stage.
    assert all("FunctionName" not in function for function in stage.state.resources("Lambda::Function"))
    assert not stage.work.kinds() & STATEFUL


def test_a_queue_can_be_removed_because_only_the_outbox_stream_is_exported(stage: Stage) -> None:
    (exported,) = (each for each in stage.state.json["Outputs"].values() if "Export" in each)

    assert stage.state.name_of(exported["Value"], "TableName") == "celeriac-test--outbox"
    assert exported["Value"]["Fn::GetAtt"][1] == "StreamArn"


def test_every_queue_of_the_tasks_is_deployed_under_the_name_that_producers_derive(application: Stage) -> None:
    deployed = {queue["QueueName"] for queue in application.state.resources("SQS::Queue")}

    assert {queues.desk.physical_name("dev"), queues.desk.dead_letter_name("dev")} <= deployed


def test_all_functions_share_one_bundle_and_know_their_stage(stage: Stage) -> None:
    functions = stage.work.resources("Lambda::Function")

    assert len({json.dumps(function["Code"]) for function in functions}) == 1
    for function in functions:
        environment = function["Environment"]["Variables"]
        assert environment["CELERIAC_STAGE"] == "test"
        assert environment.get("SECRET") == (SECRET if function["FunctionName"] == "celeriac-test--mail" else None)
        assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"])


def test_every_function_has_its_own_log_that_expires(stage: Stage) -> None:
    for function in stage.work.resources("Lambda::Function"):
        log = stage.state.named("Logs::LogGroup", "LogGroupName", f"/aws/lambda/{function['FunctionName']}")
        assert function["LoggingConfig"]["LogGroup"] == log["LogGroupName"]
        assert log["RetentionInDays"] > 0


def test_every_function_is_traced(stage: Stage) -> None:
    for function in stage.work.resources("Lambda::Function"):
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert "xray:PutTraceSegments" in stage.work.granted(function["FunctionName"])


def test_a_task_that_enqueues_tasks_is_not_stopped_as_a_loop(stage: Stage) -> None:
    assert {function["RecursiveLoop"] for function in stage.work.resources("Lambda::Function")} == {"Allow"}


def _policies(stage: Stage) -> set[str]:
    found = stage.state.json["Resources"].values()
    return {each["DeletionPolicy"] for each in found if each["Type"].removeprefix("AWS::") in STATEFUL}


@pytest.mark.parametrize("name", ["prod", "production", "live", "prd", "prod-eu", "staging", "dev"])
def test_a_stage_that_the_file_does_not_call_ephemeral_keeps_its_data(name: str) -> None:
    """What a failed creation has made is deleted, so that it can be tried again. Nothing may prevent that."""
    kept = built(Project(stages={"pr-*": StageSettings(ephemeral=True)}), stage=name)
    assert _policies(kept) == {"RetainExceptOnCreate"}
    assert not any("DeletionProtectionEnabled" in table for table in kept.state.resources("DynamoDB::Table"))


def test_ephemeral_stages_delete_their_data() -> None:
    project = Project(stages={"dev": StageSettings(ephemeral=True), "pr-*": StageSettings(ephemeral=True)})
    for name in ("dev", "pr-7", "local"):
        assert _policies(built(project, stage=name)) == {"Delete"}
    assert _policies(built(project, stage="qa", ephemeral="true")) == {"Delete"}


def test_the_stacks_are_pinned_to_the_account_and_the_regions_of_the_file() -> None:
    regions = ("eu-west-1", "us-east-1", "ap-southeast-2")
    project = Project(stages={"prod": StageSettings(account="123456789012", regions=regions)})
    stacks = assembly(project, stage="prod").stacks
    assert {(stack.environment.account, stack.environment.region) for stack in stacks} == {
        ("123456789012", region) for region in regions
    }
    assert {stack.stack_name for stack in stacks} == {"celeriac-prod--state", "celeriac-prod--work"}
    assert {stack.tags["celeriac:stage"] for stack in stacks} == {"prod"}
    everywhere = [name for stack in stacks for name in _global_names(stack)]
    assert len(everywhere) > 3 * 6
    assert len(set(everywhere)) == len(everywhere)


def _global_names(stack: cxapi.CloudFormationStackArtifact) -> Iterator[tuple[str, str]]:
    """The names that an account has once, in all its regions."""
    keys = {
        "AWS::IAM::Role": "RoleName",
        "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
        "AWS::CloudWatch::Dashboard": "DashboardName",
        "AWS::S3::Bucket": "BucketName",
    }
    for each in stack.template["Resources"].values():
        key = keys.get(each["Type"])
        if key is not None and key in each["Properties"]:
            yield key, text(each["Properties"][key]).replace("${AWS::Region}", stack.environment.region)


@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1", "us-gov-west-1"])
def test_regions_of_every_partition_are_known_without_a_profile(monkeypatch: pytest.MonkeyPatch, region: str) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.delenv("AWS_DEFAULT_PROFILE", raising=False)
    config = StageConfig("celeriac", "prod", StageSettings(regions=(region,)))

    stage_module._check_regions(config)


def test_one_region_needs_no_suffix_in_the_ids_of_its_stacks() -> None:
    (state, work) = assembly(Project(stages={"prod": StageSettings(regions=("eu-west-1",))}), stage="prod").stacks
    assert [state.id, work.id] == ["celeriac-prod--state", "celeriac-prod--work"]


def test_a_topic_of_the_team_gets_the_alarms() -> None:
    topic = "arn:aws:sns:eu-west-1:123456789012:pages"
    stage = built(Project(stages={"prod": StageSettings(alarm_topic=topic)}), stage="prod")
    assert not stage.state.resources("SNS::Topic")
    assert {each["AlarmActions"][0] for each in stage.work.resources("CloudWatch::Alarm")} == {topic}


def test_the_local_stage_runs_on_this_machine(synth: Synth) -> None:
    expected = "x86_64" if platform.machine().lower() in {"x86_64", "amd64"} else "arm64"

    for function in synth(stage="local").work.resources("Lambda::Function"):
        assert function["Architectures"] == [expected]


@pytest.mark.parametrize(
    ("context", "complaint"),
    [
        ({"stage": "Dev"}, "'Dev'"),
        ({"stage": "a-stage-of-20-letter"}, "1-17 lower-case"),
        ({"alarm_email": "nobody"}, "alarm_emails contains 'nobody'"),
        ({"kms": "yes"}, "kms='yes' is neither on nor off"),
        ({"canary": "1"}, "canary='1' is neither on nor off"),
    ],
    ids=str,
)
def test_a_bad_context_value_is_named(synth: Synth, context: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        synth(**context)


APPLICATION = """
from aws_cdk import aws_iam as iam
from celeriac_cdk.application import Application
from celeriac import Table
from celeriac_cdk.own import Bucket, Secret
from constructs import Construct


class ApplicationState(Construct):
    def __init__(self, scope, config, key):
        super().__init__(scope, "Application")


def application(node, config):
    return Application(config)
"""


def run_app(
    tmp_path: Path, *, queues: str = "", tasks_file: str = "", application: str = APPLICATION, **context: object
) -> subprocess.CompletedProcess[str]:
    """Run `app.py` as the CDK CLI does, with any declarations, and without credentials, account or Node."""
    settings = {"aws:cdk:bundling-stacks": [], **context}
    tasks = tmp_path / "functions" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "__init__.py").touch()
    (tasks / "queues.py").write_text(f'from celeriac import Queue\n\njobs = Queue("jobs")\n{queues}')
    (tasks / "work.py").write_text(tasks_file)
    (tmp_path / "celeriac.toml").write_text('name = "celeriac"\n[stages.dev]\nephemeral = true\n')
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "application.py").write_text(application)
    shutil.copy(ROOT / "app.py", tmp_path)
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env={
            "PATH": "/nowhere",
            "PYTHONPATH": str(tasks.parent),
            "HOME": os.environ.get("HOME", str(tmp_path)),
            "AWS_CONFIG_FILE": "/nowhere",
            "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
            "CDK_OUTDIR": str(tmp_path / "cdk.out"),
            "CDK_CONTEXT_JSON": json.dumps(settings),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_synth_needs_no_credentials_no_account_and_no_node_on_the_path(tmp_path: Path) -> None:
    done = run_app(tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    manifest = json.loads((tmp_path / "cdk.out" / "manifest.json").read_text())["artifacts"]
    assert manifest["celeriac-dev--work"]["environment"] == "aws://unknown-account/unknown-region"
    assert "celeriac-dev--state" in manifest["celeriac-dev--work"]["dependencies"]


def test_a_users_mistake_ends_in_one_sentence(tmp_path: Path) -> None:
    done = run_app(tmp_path, stage="My Stage")

    assert done.returncode == 1
    assert done.stderr.startswith("celeriac: the stage 'My Stage' can't be part of a resource's name")
    assert done.stderr.count("\n") == 1


def synthesized(
    tmp_path: Path, *, queues: str = "", tasks_file: str = "", application: str = "", **context: object
) -> str:
    """What `app.py` says about an application with these lines in its files."""
    text = APPLICATION.replace("    return Application(config)\n", application or "    return Application(config)\n")
    done = run_app(tmp_path, queues=queues, tasks_file=tasks_file, application=text, **context)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


GIVEN = "    given = Application(config)\n    {}\n    return given\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"application": "    Application(config)\n"},
            "application() in infra/application.py returns None: end it with",
        ),
        (
            {"application": GIVEN.format('given.queue("jbos").allow()')},
            "infra/application.py names the queue 'jbos', which tasks/queues.py doesn't declare; there are jobs",
        ),
        (
            {"application": GIVEN.format('given.queue("jobs").table("orders")')},
            "names the table 'orders', which tasks/tables.py doesn't declare; it declares none",
        ),
        (
            {"application": GIVEN.format('given.queue("jobs").environment(CELERIAC_STAGE="dev")')},
            "environment has 'CELERIAC_STAGE': Lambda or Celeriac sets it",
        ),
        (
            {"application": GIVEN.format('given.queue("jobs").environment(A1="x" * 2000).environment(A2="x" * 2000)')},
            "the queue 'jobs', with what infra/application.py gives it: environment has 4004 bytes",
        ),
        ({"application": GIVEN.format("given.queue().table('x')")}, "calls queue() without a name"),
        (
            {"application": GIVEN.format("given.queue('jobs').table(Table('x'))")},
            "gives Table where a name is expected",
        ),
        ({"application": GIVEN.format('given.queue("jobs").environment(N=5)')}, "environment is {'N': 5}, write texts"),
        ({"application": GIVEN.format('given.queue("jobs").environment(BIG="x" * 5000)')}, "has 5003 bytes"),
        (
            {"application": GIVEN.format('given.queue("jobs").secret("key", "KEY")')},
            "gives 'key' where a Secret is expected",
        ),
        (
            {"application": GIVEN.format('given.queue("jobs").secret(Secret("key"), "KEY")')},
            "gives Secret(name='key') to a queue, and ApplicationState doesn't build it",
        ),
        (
            {"application": GIVEN.format('given.queue("jobs").secret(Secret("My Key!"), "KEY")')},
            "can't be named 'My Key!'",
        ),
        (
            {"application": GIVEN.format('given.queue("jobs").bucket(Bucket("payloads"), "B")')},
            "Celeriac has a bucket named 'payloads' itself",
        ),
        (
            {"tasks_file": "import tasks.queues\nfrom celeriac import *\nTable('x')\nx = Table('x')\n"},
            "declares the table x",
        ),
        (
            {
                "queues": "new = Queue('new')\n",
                "tasks_file": "from celeriac import *\nfrom tasks.queues import *\n"
                "@task(new, former_queues=[jobs])\ndef move(): ...\n",
                "application": GIVEN.format(
                    'given.queue("new").environment(AA="1"); given.queue("jobs").environment(AA="2")'
                ),
            },
            "infra/application.py sets AA to two values for queues of which one runs tasks that have moved",
        ),
        (
            {
                "queues": "pay = Queue('pay')\n",
                "tasks_file": "from celeriac import *\nfrom tasks.queues import *\n"
                "@task(jobs, name='l\u00e4ser')\ndef read(): ...\n@task(pay, name='loser')\ndef lose(): ...\n",
            },
            "the role of its queue could use the records of the task 'loser' of another queue",
        ),
        (
            {
                "application": GIVEN.format(
                    "given.queue('jobs').allow(iam.PolicyStatement(actions=['s3:GetObject'], "
                    "resources=[f'arn:aws:s3:::a-bucket-with-a-long-name-{i}/*' for i in range(200)]), because='x')"
                )
            },
            "characters, and IAM takes",
        ),
    ],
    ids=[
        *(
            "no return",
            "queue",
            "table",
            "reserved variable",
            "large together",
            "no name",
            "a table itself",
            "number",
            "large",
            "text for a secret",
            "not built",
        ),
        *("secret's name", "bucket's name", "table in a task module", "two values", "pattern", "policy"),
    ],
)
def test_what_cannot_work_ends_in_one_sentence(tmp_path: Path, files: dict[str, str], said: str) -> None:
    assert said in synthesized(tmp_path, **files)


def test_a_stage_with_an_account_and_regions_has_no_findings() -> None:
    """The rules of cdk-nag know the account and the region then, and not their placeholders."""
    account = StageSettings(account="123456789012", regions=("eu-west-1", "us-east-1"), kms=True, canary=True)
    assert len(assembly(Project(stages={"prod": account}), stage="prod").stacks) == 4


def test_the_stream_stays_exported_when_the_relay_reads_that_of_a_restored_table() -> None:
    """CloudFormation would delete the export first, while the other stack still imports it."""
    stream = "arn:aws:dynamodb:eu-west-1:123456789012:table/celeriac-prod--outbox/stream/2026-11-26T20:00:00.000"
    before, after = (
        built(Project(stages={"prod": StageSettings(outbox_stream=each)}), stage="prod") for each in (None, stream)
    )
    assert [each for each in before.state.json["Outputs"].values() if "Export" in each] == [
        each for each in after.state.json["Outputs"].values() if "Export" in each
    ]
    relay = [each for each in after.work.resources("Lambda::EventSourceMapping") if "StartingPosition" in each]
    assert [each["EventSourceArn"] for each in relay] == [stream]
