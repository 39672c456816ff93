"""Before a deploy, `make diff` says in words what it would lose, strand, or fail at."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from celeriac import Queue
from celeriac.aws.client import make
from celeriac.model.stages import Project, StageSettings
from celeriac_console.main import app
from celeriac_console.plan.changes import warnings
from celeriac_console.stage import clients
from tests.infra.conftest import PROJECT, QUEUES, built

FIRST, *_ = QUEUES
type Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """The stateful template of a stage that keeps its data."""
    mails = StageSettings(alarm_emails=("ops@example.org",))
    return dict(built(Project("celeriac", {"prod": mails}), stage="prod").state.json)


def compared(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return list(warnings(before, after))


def test_a_release_that_changes_nothing_or_only_adds_needs_no_warning(kept: dict[str, Any]) -> None:
    more = built(
        Project("celeriac", {"prod": StageSettings(alarm_emails=("ops@example.org",))}),
        [*QUEUES, Queue("more")],
        stage="prod",
    ).state.json
    assert compared(kept, kept) == []
    assert compared(kept, dict(more)) == []


def test_a_removed_queue_stays_unread_in_a_kept_stage_and_its_policy_goes(kept: dict[str, Any]) -> None:
    mails = StageSettings(alarm_emails=("ops@example.org",))
    fewer = built(
        Project("celeriac", {"prod": mails}), [q for q in QUEUES if q.name != "slow"], stage="prod"
    ).state.json
    said = compared(kept, dict(fewer))
    (queue,) = [each for each in said if "the queue celeriac-prod--slow is" in each]
    assert queue == (
        "the queue celeriac-prod--slow is removed: it stays with its messages, and no stack knows it. Declare it with "
        "retired=True, deploy, and remove it when `celeriac doctor` says that it is empty"
    )
    assert any("the policy celeriac-prod--producer-slow-<Region> is removed" in each for each in said)


def test_a_removed_queue_of_an_ephemeral_stage_is_deleted() -> None:
    before, after = (
        dict(built(PROJECT, queues, stage="dev").state.json)
        for queues in (QUEUES, [q for q in QUEUES if q.name != "slow"])
    )
    assert any(
        "celeriac-dev--slow is removed: it is deleted with its messages" in each for each in compared(before, after)
    )


def test_an_address_that_gets_no_more_alarms_is_named(kept: dict[str, Any]) -> None:
    silent = built(Project("celeriac", {"prod": StageSettings()}), stage="prod").state.json
    assert compared(kept, dict(silent)) == [
        "ops@example.org gets no pages any more",
        "ops@example.org gets no tickets any more",
    ]


def resource(template: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in template["Resources"].values() if each["Type"] == kind)
    return found


def fifo(template: dict[str, Any]) -> None:
    queue = resource(template, "AWS::SQS::Queue")["Properties"]
    queue["QueueName"] += ".fifo"
    queue["FifoQueue"] = True


def rekey(template: dict[str, Any]) -> None:
    resource(template, "AWS::DynamoDB::Table")["Properties"]["KeySchema"] = [
        {"AttributeName": "other", "KeyType": "HASH"}
    ]


def describe(template: dict[str, Any]) -> None:
    resource(template, "AWS::IAM::ManagedPolicy")["Properties"]["Description"] = "other words"


def narrow(template: dict[str, Any]) -> None:
    statements = resource(template, "AWS::IAM::ManagedPolicy")["Properties"]["PolicyDocument"]["Statement"]
    del statements[0]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (fifo, "becomes another one, celeriac-prod--mail-dlq.fifo: its messages stay behind"),
        (rekey, "KeySchema of celeriac-prod--outbox changes: CloudFormation would make a new one under the same name"),
        (describe, "Description of celeriac-prod--producer-mail-<Region> changes: CloudFormation would make a new one"),
        (narrow, "celeriac-prod--producer-mail-<Region> no longer allows sqs:SendMessage: whoever has it loses that"),
    ],
    ids=["a FIFO queue", "a table's key", "a policy's description", "a policy's rights"],
)
def test_what_is_replaced_or_narrowed_is_named(kept: dict[str, Any], edit: Edit, said: str) -> None:
    changed = copy.deepcopy(kept)
    edit(changed)
    assert any(said in each for each in compared(kept, changed)), compared(kept, changed)


@pytest.fixture
def _account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"ACCESS_KEY_ID": "none", "SECRET_ACCESS_KEY": "none", "DEFAULT_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(clients, "_client", cache(make))
    with mock_aws():
        yield


def template(*names: str) -> str:
    queues = {f"Q{i}": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}} for i, name in enumerate(names)}
    return json.dumps({"Resources": queues})


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["--stage", "prod", "plan", *words], env={"COLUMNS": "400"})
    return done.exit_code, done.output


@pytest.mark.usefixtures("_account")
def test_the_deployed_templates_are_compared_with_those_of_a_synth(tmp_path: Path) -> None:
    def stack(name: str, environment: str) -> dict[str, Any]:
        properties = {"templateFile": f"{name}.template.json", "stackName": f"celeriac-{name}"}
        return {"type": "aws:cloudformation:stack", "environment": environment, "properties": properties}

    artifacts = {
        "a": stack("prod--state", "aws://unknown-account/unknown-region"),
        "b": stack("prod--work", "aws://123456789012/eu-west-1"),
        "c": stack("prod-eu--state", "aws://123456789012/eu-west-1"),
        "assets": {"type": "cdk:asset-manifest", "properties": {}},
    }
    synth = ("--synth", str(tmp_path))
    assert run(*synth) == (2, "celeriac: " + f"{tmp_path} has no stack of the stage prod: make synth STAGE=prod\n")

    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    (tmp_path / "prod--state.template.json").write_text(template("a"))
    (tmp_path / "prod--work.template.json").write_text(template("w"))
    assert run(*synth) == (0, "nothing is deployed yet\n")

    for name, queues in (("prod--state", ["a", "b"]), ("prod--work", ["w"]), ("prod-eu--state", ["x"])):
        boto3.client("cloudformation").create_stack(StackName=f"celeriac-{name}", TemplateBody=template(*queues))
    code, said = run(*synth)
    assert code == 1
    assert said.startswith("WARNING celeriac-prod--state: the queue b is removed: it is deleted with its messages")
    assert "ok      celeriac-prod--work: nothing is lost or replaced" in said
    assert json.loads(run(*synth, "--json")[1])["celeriac-prod--work"] == []
