"""Rules for a stage as a whole: two stacks, fixed names, one bundle, its own settings."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac_cdk.config import ConfigError
from tests.application import queues
from tests.infra.conftest import SECRET, Synth
from tests.infra.template import Stage

ROOT = Path(__file__).parents[2]
STATEFUL = {"SQS::Queue", "DynamoDB::Table", "S3::Bucket", "SecretsManager::Secret", "Scheduler::ScheduleGroup"}


def test_resources_with_data_are_in_another_stack_than_code(stage: Stage) -> None:
    assert stage.state.kinds() >= STATEFUL
    assert "Lambda::EventSourceMapping" not in stage.state.kinds()
    # The only functions are CDK's own, which empty the bucket of a destroyed stage.
    assert all("FunctionName" not in function for function in stage.state.resources("Lambda::Function"))
    assert not stage.work.kinds() & STATEFUL


def test_a_queue_can_be_removed_because_only_the_outbox_stream_is_exported(stage: Stage) -> None:
    (exported,) = stage.state.json["Outputs"].values()

    assert stage.state.name_of(exported["Value"], "TableName") == "celeriac-test-outbox"
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
        assert environment["SECRET"] == SECRET
        assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"])


def test_every_function_has_its_own_log_that_expires(stage: Stage) -> None:
    for function in stage.work.resources("Lambda::Function"):
        log = stage.work.named("Logs::LogGroup", "LogGroupName", f"/aws/lambda/{function['FunctionName']}")
        assert stage.work.name_of(function["LoggingConfig"]["LogGroup"], "LogGroupName") == log["LogGroupName"]
        assert log["RetentionInDays"] > 0


def test_every_function_is_traced(stage: Stage) -> None:
    for function in stage.work.resources("Lambda::Function"):
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert "xray:PutTraceSegments" in stage.work.granted(function["FunctionName"])


def test_a_task_that_enqueues_tasks_is_not_stopped_as_a_loop(stage: Stage) -> None:
    assert {function["RecursiveLoop"] for function in stage.work.resources("Lambda::Function")} == {"Allow"}


def test_prod_keeps_its_data_and_other_stages_delete_theirs(synth: Synth) -> None:
    def policies(stage: Stage) -> set[str]:
        found = stage.state.json["Resources"].values()
        return {each["DeletionPolicy"] for each in found if each["Type"].removeprefix("AWS::") in STATEFUL}

    prod = synth(stage="prod")
    assert policies(prod) == {"Retain"}
    assert all(table["DeletionProtectionEnabled"] for table in prod.state.resources("DynamoDB::Table"))
    assert policies(synth(stage="test")) == {"Delete"}
    assert policies(synth(stage="local")) == {"Delete"}


def test_the_local_stage_runs_on_this_machine(synth: Synth) -> None:
    expected = "x86_64" if platform.machine().lower() in {"x86_64", "amd64"} else "arm64"

    for function in synth(stage="local").work.resources("Lambda::Function"):
        assert function["Architectures"] == [expected]


@pytest.mark.parametrize(
    ("context", "complaint"),
    [
        ({"stage": "Dev"}, "'Dev'"),
        ({"stage": "a-stage-of-20-letter"}, "1-17 lower-case"),
        ({"alarm_email": "nobody"}, "alarm_email='nobody'"),
        ({"kms": "yes"}, "kms='yes' is neither on nor off"),
        ({"canary": "1"}, "canary='1' is neither on nor off"),
    ],
    ids=str,
)
def test_a_bad_context_value_is_named(synth: Synth, context: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        synth(**context)


def run_app(tmp_path: Path, **context: object) -> subprocess.CompletedProcess[str]:
    """Run `app.py` as the CDK CLI does, in an environment without credentials, account or Node."""
    settings = {"aws:cdk:bundling-stacks": [], **context}
    tasks = tmp_path / "functions" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "__init__.py").touch()
    (tasks / "queues.py").write_text('from celeriac import Queue\n\njobs = Queue("jobs")\n')
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={
            "PATH": "/nowhere",
            "PYTHONPATH": str(tasks.parent),  # instead of functions/tasks/, with any declarations
            "HOME": os.environ.get("HOME", str(tmp_path)),
            "AWS_CONFIG_FILE": "/nowhere",
            "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
            "CDK_OUTDIR": str(tmp_path),
            "CDK_CONTEXT_JSON": json.dumps(settings),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_synth_needs_no_credentials_no_account_and_no_node_on_the_path(tmp_path: Path) -> None:
    done = run_app(tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    manifest = json.loads((tmp_path / "manifest.json").read_text())["artifacts"]
    assert manifest["celeriac-dev-work"]["environment"] == "aws://unknown-account/unknown-region"
    assert "celeriac-dev-state" in manifest["celeriac-dev-work"]["dependencies"]


def test_a_users_mistake_ends_in_one_sentence(tmp_path: Path) -> None:
    done = run_app(tmp_path, stage="My Stage")

    assert done.returncode == 1
    assert done.stderr.startswith("celeriac: the stage 'My Stage' can't be part of a resource's name")
    assert done.stderr.count("\n") == 1
