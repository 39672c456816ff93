"""Events of AWS that call tasks: a rule for each task, who may send to which queue, and what becomes of the rest."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from celeriac import AwsEvent, Queue, Task, task
from celeriac.model import names
from celeriac.model.errors import DeclarationError
from celeriac.model.stages import Project, StageSettings
from celeriac_cdk import Celeriac
from celeriac_cdk.declarations.aws_events import MOST_OF_A_QUEUE, check_aws_events
from celeriac_cdk.declarations.load import check_retired
from tests.infra import foreign
from tests.infra.conftest import QUEUES, TASKS, assembly, build
from tests.infra.template import Stack, Stage, queue_arn, text

MAIL, SLOW, *_ = QUEUES
UPLOAD = {
    "source": ["aws.s3"],
    "detail-type": ["Object Created"],
    "detail": {"object": {"size": [{"numeric": [">", 0]}]}},
}


def called(
    function: Callable[..., Any], queue: Queue = MAIL, name: str | None = None, **args: str
) -> Task[..., Any, Any]:
    made: Task[..., Any, Any] = task(queue, name=name, on_aws=AwsEvent(UPLOAD, args=args))(function)
    return made


def rule_arn(name: str) -> str:
    return f"arn:${{AWS::Partition}}:events:${{AWS::Region}}:${{AWS::AccountId}}:rule/{name}"


def make(bucket: str, size: int) -> None: ...


def note() -> None: ...


EVENT_TASKS = (
    called(make, name="thumb of event", bucket="$.detail.bucket.name", size="$.detail.object.size"),
    called(note, name="note_event", queue=SLOW),
)


@pytest.fixture(scope="module")
def events() -> Stage:
    return Stage(*build(QUEUES, [*TASKS, *EVENT_TASKS], stage="test"))


def test_each_task_has_a_rule_on_the_default_bus_that_makes_its_message(events: Stage) -> None:
    rules = events.work.resources("Events::Rule")
    assert len(rules) == 2
    name = names.aws_event_rule("test", "thumb of event")
    rule = events.work.named("Events::Rule", "Name", name)
    assert (rule["EventPattern"], rule["State"]) == (UPLOAD, "ENABLED")
    assert "EventBusName" not in rule
    (target,) = rule["Targets"]
    assert text(target["Arn"]) == queue_arn("celeriac-test--mail")
    assert "RoleArn" not in target
    assert target["InputTransformer"] == {
        "InputPathsMap": {"id": "$.id", "p1": "$.detail.bucket.name", "p2": "$.detail.object.size"},
        "InputTemplate": '{"v":1,"task":"thumb of event","id":"thumb of event@<id>",'
        '"args":{"bucket":<p1>,"size":<p2>}}',
    }
    assert text(target["DeadLetterConfig"]["Arn"]) == queue_arn("celeriac-test--aws_events-dlq")


def _senders(stack: Stack, queue: str) -> list[Any]:
    """The conditions under which EventBridge may send to a queue."""
    found = []
    for policy in stack.resources("SQS::QueuePolicy"):
        if [stack.name_of(each, "QueueName") for each in policy["Queues"]] != [queue]:
            continue
        for each in policy["PolicyDocument"]["Statement"]:
            if each.get("Principal") == {"Service": "events.amazonaws.com"}:
                assert (each["Effect"], each["Action"]) == ("Allow", "sqs:SendMessage")
                found.append(each["Condition"])
    return found


def test_only_the_rules_of_its_tasks_may_send_to_a_queue(events: Stage) -> None:
    (mail,) = _senders(events.state, "celeriac-test--mail")
    assert text(mail["ArnEquals"]["aws:SourceArn"][0]) == rule_arn(names.aws_event_rule("test", "thumb of event"))
    (slow,) = _senders(events.state, "celeriac-test--slow")
    assert text(slow["ArnEquals"]["aws:SourceArn"][0]) == rule_arn("celeriac-test--on-note_event")
    assert not _senders(events.state, "celeriac-test--spiky")
    (unsent,) = _senders(events.state, "celeriac-test--aws_events-dlq")
    assert text(unsent["ArnLike"]["aws:SourceArn"]) == rule_arn("celeriac-test--on-*")


def test_a_moved_tasks_rule_may_send_to_its_former_queue_until_the_work_is_deployed() -> None:
    """EventBridge doesn't try again what a policy has refused, and the state is deployed first."""
    moved: Task[..., Any, Any] = task(SLOW, name="moved_event", former_queues=[MAIL], on_aws=AwsEvent(UPLOAD))(note)
    state, work = build(QUEUES, [*TASKS, moved], stage="test")
    for queue in ("mail", "slow"):
        (condition,) = _senders(state, f"celeriac-test--{queue}")
        assert text(condition["ArnEquals"]["aws:SourceArn"][0]) == rule_arn("celeriac-test--on-moved_event")
    (rule,) = work.resources("Events::Rule")
    assert [text(target["Arn"]) for target in rule["Targets"]] == [queue_arn("celeriac-test--slow")]


def test_what_could_not_be_sent_is_kept_and_raises_alarms(events: Stage) -> None:
    queue = events.state.named("SQS::Queue", "QueueName", "celeriac-test--aws_events-dlq")
    assert (queue["MessageRetentionPeriod"], queue["SqsManagedSseEnabled"]) == (14 * 24 * 3600, True)
    for ending in ("", "-age"):
        alarm = events.work.named("CloudWatch::Alarm", "AlarmName", f"celeriac-test--aws_events-dlq{ending}")
        assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "celeriac-test--aws_events-dlq"}]
        assert alarm["AlarmActions"]
    assert (
        "#aws-events-that-couldnt-be-sent"
        in events.work.named("CloudWatch::Alarm", "AlarmName", "celeriac-test--aws_events-dlq")["AlarmDescription"]
    )


def test_a_stage_without_such_tasks_has_none_of_it(stage: Stage) -> None:
    assert not stage.work.resources("Events::Rule")
    assert "aws_events" not in json.dumps([stage.work.json, stage.state.json])


def test_the_stages_key_encrypts_what_could_not_be_sent() -> None:
    state, _ = build(QUEUES, [*TASKS, *EVENT_TASKS], stage="test", kms="true")
    queue = state.named("SQS::Queue", "QueueName", "celeriac-test--aws_events-dlq")
    assert queue["KmsMasterKeyId"]
    (key,) = state.resources("KMS::Key")
    allowed = [each["Principal"].get("Service") for each in key["KeyPolicy"]["Statement"]]
    assert "events.amazonaws.com" in allowed


def test_a_stage_that_keeps_its_data_passes_all_rules_in_each_of_its_regions() -> None:
    project = Project("celeriac", {"prod": StageSettings(regions=("eu-west-1", "us-east-1"), account="123456789012")})
    made = assembly(project, tasks=[*TASKS, *EVENT_TASKS], stage="prod")  # raises for each finding of cdk-nag
    rules = [
        each["Properties"]["Name"]
        for stack in made.stacks
        for each in stack.template["Resources"].values()
        if each["Type"] == "AWS::Events::Rule"
    ]
    assert sorted(rules) == sorted([names.aws_event_rule("prod", each.name) for each in EVENT_TASKS] * 2)


def test_another_team_has_rules_and_queues_of_its_own(tmp_path: Path) -> None:
    tasks = """
from celeriac import AwsEvent, task
from {name}.queues import mail


@task(mail, on_aws=AwsEvent({"source": ["aws.ec2"]}, args={"state": "$.detail.state"}))
def note_state(state: str) -> None: ...
"""
    with foreign.imports_of(tmp_path):
        stack = cdk.Stack(foreign.app(), "Host")
        for name in ("cars", "bikes"):
            source = foreign.package(tmp_path / name, f"{name}_event_tasks", tasks=tasks)
            Celeriac(stack, name, source=source, name=name, stage="dev")
        made = foreign.template(stack)
    assert foreign.physical(made, "Events::Rule", "Name") == {"cars-dev--on-note_state", "bikes-dev--on-note_state"}
    (mine,) = _senders(made, "cars-dev--mail")
    assert text(mine["ArnEquals"]["aws:SourceArn"][0]).endswith(":rule/cars-dev--on-note_state")
    assert {"cars-dev--aws_events-dlq", "bikes-dev--aws_events-dlq"} <= foreign.physical(
        made, "SQS::Queue", "QueueName"
    )


@pytest.mark.parametrize(
    ("task_name", "rule"),
    [
        ("resize", "celeriac-test--on-resize"),
        ("a/b", "celeriac-test--on-a_b-c14cddc0"),
        ("x" * 80, f"celeriac-test--on-{'x' * 37}-"),
    ],
)
def test_a_rule_is_named_after_its_task_within_64_characters(task_name: str, rule: str) -> None:
    found = names.aws_event_rule("test", task_name)
    assert found.startswith(rule)
    assert len(found) <= 64


def test_rules_of_the_longest_stage_keep_their_tasks_apart() -> None:
    stage = "s" * 16
    found = {names.aws_event_rule(stage, name) for name in ("a b", "a_b", "a/b", "x" * 60 + "1", "x" * 60 + "2")}
    assert len(found) == 5
    assert all(len(name) <= 64 for name in found)


@pytest.mark.parametrize(
    ("annotation", "path", "why"),
    [
        (int, "$.account", "it is a string, not an integer"),
        (str, "$.resources", "it is an array, not a string"),
        (str, "$.detail", "it is an object, not a string"),
        (dict[str, str], "$.time", "it is a string, not an object"),
    ],
)
def test_a_parameter_that_can_never_take_its_path_is_refused(annotation: Any, path: str, why: str) -> None:
    def take(value: Any) -> None: ...

    take.__annotations__ = {"value": annotation}
    with pytest.raises(DeclarationError) as refused:
        check_aws_events([called(take, name="taken_event", value=path)])
    assert f"task 'taken_event': its parameter value can't take {path} of an event: {why}" in str(refused.value)


@pytest.mark.parametrize(
    ("annotation", "path"),
    [
        (str, "$.account"),
        (list[str], "$.resources"),
        (dict[str, Any], "$.detail"),
        (int, "$.detail.size"),
        (Any, "$.time"),
    ],
)
def test_a_parameter_that_may_take_its_path_is_not_refused(annotation: Any, path: str) -> None:
    def take(value: Any) -> None: ...

    take.__annotations__ = {"value": annotation}
    check_aws_events([called(take, name="taken_event", value=path)])


def test_a_queue_whose_policy_would_be_too_large_is_refused() -> None:
    many = [called(note, name=f"event_{'n' * 60}_{number}") for number in range(MOST_OF_A_QUEUE)]
    check_aws_events(many)
    state, _ = build(QUEUES, [*TASKS, *many], stage="s" * 16)
    (policy,) = [
        each
        for each in state.resources("SQS::QueuePolicy")
        if state.name_of(each["Queues"][0], "QueueName").endswith("--mail")
    ]
    assert len(json.dumps(_resolved(policy["PolicyDocument"]), separators=(",", ":"))) < 8192
    with pytest.raises(DeclarationError, match="call 51 tasks of the queue 'mail', and the policy of a queue has room"):
        check_aws_events([*many, called(note, name="event_more")])


def _resolved(value: Any) -> Any:
    """A document with the longest names in the place of references."""
    match value:
        case {"Ref": "AWS::Partition"}:
            return "aws-us-gov"
        case {"Ref": "AWS::Region"}:
            return "ap-southeast-2"
        case {"Ref": "AWS::AccountId"}:
            return "1" * 12
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(str(_resolved(part)) for part in parts)
        case {"Fn::GetAtt": _}:
            return "x" * 110
        case dict():
            return {key: _resolved(each) for key, each in value.items()}
        case list():
            return [_resolved(each) for each in value]
    return value


def test_events_that_would_go_to_a_retired_queue_are_refused() -> None:
    old = Queue("old-of-events", retired=True)
    with pytest.raises(DeclarationError, match="task 'late_event' is called by events of AWS, and its queue"):
        check_retired([called(note, queue=old, name="late_event")])
