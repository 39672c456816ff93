"""`celeriac pause` and its like for a queue on Fargate, over moto's ECS and Application Auto Scaling."""

import os
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from celeriac import Queue
from celeriac.model import names
from celeriac_console.doctor import checks
from celeriac_console.stage import clients, consumers, services
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import deploy_it

VIDEOS = Queue("videos", runner="fargate", workers=(2, 5))


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CELERIAC_STAGE", "prod")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    with mock_aws():
        clients.forget()
        yield
    clients.forget()


def deploy() -> None:
    """What the stack makes."""
    ecs, scaling = boto3.client("ecs"), boto3.client("application-autoscaling")
    cluster, name = names.workers_cluster(os.environ["CELERIAC_STAGE"]), VIDEOS.function_name("prod")
    ecs.create_cluster(clusterName=cluster)
    ecs.register_task_definition(
        family=name, containerDefinitions=[{"name": "Worker", "image": "python", "memory": 512}]
    )
    ecs.create_service(cluster=cluster, serviceName=name, taskDefinition=name, desiredCount=3)
    scaling.register_scalable_target(
        ServiceNamespace="ecs",
        ScalableDimension="ecs:service:DesiredCount",
        ResourceId=f"service/{cluster}/{name}",
        MinCapacity=2,
        MaxCapacity=5,
    )


def test_a_paused_queue_has_no_container_and_no_alarm_starts_one() -> None:
    deploy()
    assert consumers.state(VIDEOS) == "on"

    assert consumers.switch(VIDEOS, on=False) == "Stopping"
    found = services.find(VIDEOS)
    assert found is not None
    assert (found.wanted, found.is_held, found.fewest, found.most) == (0, True, 0, 5)  # a deploy can't raise it
    assert consumers.state(VIDEOS) == "paused"

    assert consumers.switch(VIDEOS, on=True) == "Starting"
    found = services.find(VIDEOS)
    assert found is not None
    assert (found.wanted, found.is_held, found.fewest) == (2, False, 2)
    assert consumers.state(VIDEOS) == "on"


def test_a_queue_that_isnt_deployed_says_so() -> None:
    assert consumers.state(VIDEOS) == "none"
    with pytest.raises(UserError, match=r"'videos' has no service in stage 'prod': deploy it"):
        consumers.switch(VIDEOS, on=False)
    boto3.client("ecs").create_cluster(clusterName="celeriac-prod--workers")
    assert consumers.state(VIDEOS) == "none"


def test_in_the_local_cloud_a_process_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_STAGE", "local")
    assert consumers.state(VIDEOS) == "on"
    with pytest.raises(UserError, match="the local cloud runs its tasks in a process"):
        consumers.switch(VIDEOS, on=False)


def test_a_pause_that_failed_halfway_says_so() -> None:
    deploy()
    consumers.switch(VIDEOS, on=False)
    cluster, name = names.workers_cluster("prod"), VIDEOS.function_name("prod")
    boto3.client("ecs").update_service(cluster=cluster, service=name, desiredCount=1)
    assert consumers.state(VIDEOS) == "held"


def test_doctor_says_what_keeps_containers_from_running() -> None:
    found = checks._consumer(VIDEOS)
    assert (found.state, found.cure) == ("none", deploy_it())
    deploy()
    found = checks._consumer(VIDEOS)  # moto starts none
    assert found.state.startswith("0 of 3 containers run. ECS says: ")
    assert found.cure is not None
    consumers.switch(VIDEOS, on=False)
    found = checks._consumer(VIDEOS)
    assert found.state == "paused"
    assert "resume videos" in (found.cure or "")
