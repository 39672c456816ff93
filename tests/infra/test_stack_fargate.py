"""A queue on Fargate: a service that polls it, with few rights, whose number of containers follows the messages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from hypothesis import given
from hypothesis import strategies as st

from celeriac import Queue
from celeriac.model.stages import Project, QueueNumbers, StageSettings, Vpc
from celeriac_cdk import Celeriac
from celeriac_cdk.config import ConfigError
from celeriac_cdk.ecs.scaling import MOST_STEPS, steps
from tests.infra import foreign
from tests.infra.conftest import assembly, build, built
from tests.infra.template import Stack, granted_by, listed, queue_arn, text

VPC = Vpc(("subnet-0123456789abcdef0",), ("sg-0123456789abcdef0",))
VIDEOS = Queue("videos", runner="fargate", cpu=1024, memory=4096, workers=(1, 4), concurrency=2)
PROJECT = Project(stages={"prod": StageSettings(vpc=VPC)})
NAME = "celeriac-prod--videos"


@pytest.fixture(scope="module")
def work() -> Stack:
    return built(PROJECT, [VIDEOS, Queue("mail")], stage="prod").work


def task_definition(work: Stack, family: str = NAME) -> Mapping[str, Any]:
    return work.named("ECS::TaskDefinition", "Family", family)


def container(work: Stack, name: str = "Worker") -> Mapping[str, Any]:
    (found,) = [each for each in task_definition(work)["ContainerDefinitions"] if each["Name"] == name]
    return dict(found)


def test_containers_poll_it_and_no_function(work: Stack) -> None:
    assert NAME not in {each["FunctionName"] for each in work.resources("Lambda::Function")}
    mapped = {text(each["EventSourceArn"]) for each in work.resources("Lambda::EventSourceMapping")}
    assert mapped == {text(queue_arn("celeriac-prod--mail")), *(each for each in mapped if "stream" in each.lower())}

    (service,) = work.resources("ECS::Service")
    assert (service["ServiceName"], service["Cluster"]) == (NAME, "celeriac-prod--workers")
    assert "DesiredCount" not in service  # a deploy would stop workers
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"] == {
        "Subnets": list(VPC.subnets),
        "SecurityGroups": list(VPC.security_groups),
        "AssignPublicIp": "DISABLED",
    }


def test_a_container_runs_the_bundle_and_has_two_minutes_to_end(work: Stack) -> None:
    made, worker, loader = task_definition(work), container(work), container(work, "Loader")

    assert (made["Cpu"], made["Memory"], made["RuntimePlatform"]["CpuArchitecture"]) == ("1024", "4096", "ARM64")
    assert worker["Image"] == "public.ecr.aws/docker/library/python:3.13-slim"
    (line,) = worker["Command"]
    assert line.endswith("exec python -m celeriac.entry.worker videos 2 110")
    assert worker["DependsOn"] == [{"Condition": "SUCCESS", "ContainerName": "Loader"}]
    assert worker["StopTimeout"] == 120
    assert worker["LinuxParameters"]["InitProcessEnabled"] is True
    assert worker["HealthCheck"]["Command"] == ["CMD-SHELL", "test -e /tmp/polls"]
    assert {worker["VersionConsistency"], loader["VersionConsistency"]} == {"disabled"}
    assert worker["ReadonlyRootFilesystem"] is True
    variables = {each["Name"]: each["Value"] for each in worker["Environment"]}
    assert variables["CELERIAC_STAGE"] == "prod"
    assert variables["CELERIAC_READY"] == "/tmp/polls"  # noqa: S108 - in a container
    assert variables["CELERIAC_TASKS"] == "tests.application"
    assert loader["Command"][:2] == ["s3", "cp"]


def test_its_role_may_do_what_a_consumer_may_and_protect_its_containers(work: Stack) -> None:
    (role,) = [id_ for id_ in work.logical_ids("IAM::Role") if "videos" in id_ and "ExecutionRole" not in id_]
    statements = [
        each
        for policy in work.resources("IAM::Policy")
        if {"Ref": role} in policy["Roles"]
        for each in listed(policy["PolicyDocument"]["Statement"])
    ]
    granted = granted_by(statements)

    for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"):
        assert granted[action] == {text(queue_arn(NAME))}
    assert text(queue_arn(f"{NAME}-dlq")) in granted["sqs:SendMessage"]
    assert {each.partition(":task/")[2] for each in granted["ecs:UpdateTaskProtection"]} == {"celeriac-prod--workers/*"}


def test_the_number_of_workers_follows_the_messages(work: Stack) -> None:
    (target,) = work.resources("ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    assert target["ResourceId"] == f"service/celeriac-prod--workers/{NAME}"
    busy, quiet = (
        next(each for each in work.resources("ApplicationAutoScaling::ScalingPolicy") if each["PolicyName"] == name)
        for name in ("WhenBusy", "WhenQuiet")
    )
    assert [
        (each["MetricIntervalLowerBound"], each.get("MetricIntervalUpperBound"), each["ScalingAdjustment"])
        for each in busy["StepScalingPolicyConfiguration"]["StepAdjustments"]
    ] == [(0, 1, 1), (1, 2, 2), (2, 3, 3), (3, None, 4)]
    assert quiet["StepScalingPolicyConfiguration"]["StepAdjustments"] == [
        {"MetricIntervalUpperBound": 0, "ScalingAdjustment": 1}
    ]
    alarms = [each for each in work.resources("CloudWatch::Alarm") if each["AlarmName"].startswith("scaling-")]
    assert {each["AlarmName"] for each in alarms} == {f"scaling-{NAME}-busy", f"scaling-{NAME}-quiet"}
    for alarm in alarms:
        metrics = {each["Id"]: each for each in alarm["Metrics"]}
        assert metrics["messages"]["Expression"] == "visible + held"
        assert {metrics[id_]["MetricStat"]["Metric"]["MetricName"] for id_ in ("visible", "held")} == {
            "ApproximateNumberOfMessagesVisible",
            "ApproximateNumberOfMessagesNotVisible",
        }


@given(fewest=st.integers(0, 60), more=st.integers(0, 5000), messages=st.integers(1, 60_000))
def test_there_are_never_fewer_workers_than_messages(fewest: int, more: int, messages: int) -> None:
    most = max(fewest + more, 1)
    found = list(steps(fewest, most))
    (workers, *_) = [workers for first, workers in reversed(found) if messages >= first]

    assert 1 <= len(found) <= MOST_STEPS
    assert found[0][0] == 1
    assert found == sorted(set(found))
    assert max(fewest, 1) <= workers <= most
    assert workers >= min(most, messages)


def test_the_alarms_of_the_queue_are_there_and_those_of_a_function_are_not(work: Stack) -> None:
    names = {each["AlarmName"] for each in work.resources("CloudWatch::Alarm")}
    assert f"{NAME}-age" in names
    assert f"{NAME}-unattended" in names
    assert f"{NAME}-throttles" not in names
    assert f"{NAME.replace('videos', 'mail')}-throttles" in names


def test_a_stage_sets_its_own_numbers_and_cdk_nag_finds_nothing() -> None:
    numbers = QueueNumbers(workers=(0, 30), cpu=512, memory=2048)
    stage = StageSettings(vpc=VPC, queues={"videos": numbers})
    queue = stage.applied(VIDEOS, "celeriac.toml")
    stacks = assembly(Project(stages={"prod": stage}), [queue], stage="prod").stacks
    (work,) = [each.template for each in stacks if each.stack_name.endswith("--work")]
    resources = work["Resources"].values()
    (target,) = [each for each in resources if each["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget"]
    (made,) = [each for each in resources if each["Type"] == "AWS::ECS::TaskDefinition"]
    assert (target["Properties"]["MinCapacity"], target["Properties"]["MaxCapacity"]) == (0, 30)
    assert (made["Properties"]["Cpu"], made["Properties"]["Memory"]) == ("512", "2048")


def test_without_a_network_the_error_names_the_cure() -> None:
    with pytest.raises(
        ConfigError, match=r"'videos' has runner=\"fargate\", and the stage prod has no VPC.*vpc="
    ) as it:
        build([VIDEOS], stage="prod")
    assert "vpc.subnets" in str(it.value)


def test_in_public_subnets_containers_have_public_addresses() -> None:
    public = Vpc(VPC.subnets, VPC.security_groups, public_ip=True)
    project = Project(stages={"prod": StageSettings(vpc=public)})
    (service,) = built(project, [VIDEOS], stage="prod").work.resources("ECS::Service")
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "ENABLED"


def test_an_image_of_ones_own_registry_may_be_pulled() -> None:
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/media/ffmpeg:7"
    queue = Queue("videos", runner="fargate", image=image, ephemeral_storage=100 * 1024)
    work = built(PROJECT, [queue], stage="prod").work
    assert container(work)["Image"] == image
    assert task_definition(work)["EphemeralStorage"] == {"SizeInGiB": 100}
    statements = [
        each for policy in work.resources("IAM::Policy") for each in listed(policy["PolicyDocument"]["Statement"])
    ]
    pulls = [each for each in statements if "ecr:BatchGetImage" in listed(each["Action"])]
    assert [text(each["Resource"]) for each in pulls] == [
        "arn:${AWS::Partition}:ecr:eu-west-1:123456789012:repository/media/ffmpeg"
    ]


def test_the_local_cloud_gets_what_a_process_needs_and_no_container() -> None:
    _, work = build([VIDEOS], stage="local")
    assert not work.resources("ECS::Service")
    (made,) = task_definition(work, "celeriac-local--videos")["ContainerDefinitions"]
    assert made["Command"] == ["python -m celeriac.entry.worker videos 2 10"]


def test_in_a_stack_of_ones_own_it_runs_in_the_given_network(tmp_path: Path) -> None:
    queues = 'from celeriac import Queue\n\nmail = Queue("mail", runner="fargate")\n'
    with foreign.imports_of(tmp_path):
        source = foreign.package(tmp_path, "shop_tasks", queues=queues)
        stack = cdk.Stack(foreign.app(), "Host")
        vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
        tasks = Celeriac(stack, "Tasks", source=source, name="shop", stage="prod", vpc=vpc)
        queue = tasks.queue("mail")
        with pytest.raises(ConfigError, match=r"'mail' has runner=\"fargate\" and no function"):
            _ = queue.consumer
        queue.grant_enqueue(queue.process)
        made = foreign.template(stack)
    (service,) = made.resources("ECS::Service")
    network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert len(network["Subnets"]) == 2
    assert network["AssignPublicIp"] == "DISABLED"
    assert len(network["SecurityGroups"]) == 1
