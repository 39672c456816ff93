"""Before a deploy, `make diff` says in words what it would lose, strand, or fail at."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from celeriac import Queue
from celeriac.model.stages import Project, StageSettings
from celeriac_local.changes import warnings
from celeriac_local.plan import plan
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
    assert compared(kept, dict(silent)) == ["ops@example.org gets no alarms any more"]


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
    with mock_aws():
        yield


@pytest.mark.usefixtures("_account")
def test_the_deployed_templates_are_compared_with_those_of_a_synth(tmp_path: Path) -> None:
    def template(*names: str) -> str:
        queues = {
            f"Q{i}": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}} for i, name in enumerate(names)
        }
        return json.dumps({"Resources": queues})

    boto3.client("cloudformation").create_stack(StackName="shop-prod--state", TemplateBody=template("a", "b"))
    artifacts = {
        "shop-prod--state": {
            "type": "aws:cloudformation:stack",
            "environment": "aws://unknown-account/unknown-region",
            "properties": {"templateFile": "state.json", "stackName": "shop-prod--state"},
        },
        "shop-prod--work": {
            "type": "aws:cloudformation:stack",
            "environment": "aws://123456789012/eu-west-1",
            "properties": {"templateFile": "work.json", "stackName": "shop-prod--work"},
        },
        "assets": {"type": "cdk:asset-manifest", "properties": {}},
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    (tmp_path / "state.json").write_text(template("a"))
    (tmp_path / "work.json").write_text(template())
    (said,) = plan(tmp_path, ["--all"])
    assert said.startswith("the queue b is removed: it is deleted with its messages")
