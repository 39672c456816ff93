"""The container of the operators' page. No image is built: AWS's command line fetches the bundle, Python runs it."""

from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk.aws_s3_assets import Asset
from constructs import Construct

from celeriac.model import names
from celeriac_cdk.config import StageConfig
from celeriac_cdk.page.settings import Web

PORT = 8080
NAME = "Page"
_CPU = 256
"""A quarter of a core."""
_FOLDER, _FILE = "/page", "page.zip"
_OWNER = "0"
"""Only root may write to a volume of Fargate, and some images begin as somebody else."""
_IMAGE = "public.ecr.aws/docker/library/python:{version}-slim"
_LOADER = "public.ecr.aws/aws-cli/aws-cli:latest"


@dataclass(frozen=True, slots=True)
class Code:
    """The page's bundle."""

    folder: str
    architecture: str
    """The machine that it was made for: `arm64` or `x86_64`."""
    python: str
    """The version, such as `3.13`."""


def service(
    scope: Construct, config: StageConfig, web: Web, vpc: ec2.IVpc, *, code: Code, environment: Mapping[str, str]
) -> ecs.FargateService:
    """Build the service that runs the container `NAME`, with the rights of operators."""
    bundle = Asset(scope, "Code", path=code.folder)
    # Found by its name, as all that the state holds.
    operators = names.part(config.stage, f"operator-{cdk.Aws.REGION}")
    role = iam.Role(
        scope,
        "Role",
        assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
        managed_policies=[iam.ManagedPolicy.from_managed_policy_name(scope, "Rights", operators)],
    )
    read = bundle.bucket.arn_for_objects(bundle.s3_object_key)
    role.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=[read]))
    is_arm = code.architecture == "arm64"
    task = ecs.FargateTaskDefinition(
        scope,
        "Task",
        cpu=_CPU,
        memory_limit_mib=web.memory,
        task_role=role,
        runtime_platform=ecs.RuntimePlatform(
            cpu_architecture=ecs.CpuArchitecture.ARM64 if is_arm else ecs.CpuArchitecture.X86_64,
            operating_system_family=ecs.OperatingSystemFamily.LINUX,
        ),
        volumes=[ecs.Volume(name="page"), ecs.Volume(name="tmp")],
    )
    _containers(scope, config, web, task, bundle.s3_object_url, python=code.python, environment=environment)
    return ecs.FargateService(
        scope,
        "Service",
        cluster=ecs.Cluster(scope, "Cluster", vpc=vpc),
        task_definition=task,
        desired_count=1,
        # Never two: what people see of a job is in the memory of one.
        min_healthy_percent=0,
        max_healthy_percent=100,
        circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
        assign_public_ip=web.public_ip,
        vpc_subnets=web.subnets,
        health_check_grace_period=cdk.Duration.minutes(3),
    )


def _containers(
    scope: Construct,
    config: StageConfig,
    web: Web,
    task: ecs.FargateTaskDefinition,
    url: str,
    *,
    python: str,
    environment: Mapping[str, str],
) -> None:
    log = logs.LogGroup(scope, "Log", retention=config.log_retention, removal_policy=cdk.RemovalPolicy.DESTROY)
    region = cdk.Stack.of(scope).region
    loader = task.add_container(
        "Loader",
        image=web.image_of_loader or ecs.ContainerImage.from_registry(_LOADER),
        command=["s3", "cp", "--only-show-errors", url, f"{_FOLDER}/{_FILE}"],
        # The command line keeps a cache at home, and only the volumes can be written to.
        environment={"AWS_REGION": region, "HOME": "/tmp"},  # noqa: S108 - in a container
        essential=False,
        user=_OWNER,
        readonly_root_filesystem=True,
        logging=ecs.LogDriver.aws_logs(stream_prefix="loader", log_group=log),
    )
    page = task.add_container(
        NAME,
        image=web.image or ecs.ContainerImage.from_registry(_IMAGE.format(version=python)),
        entry_point=["sh", "-c"],
        command=[start(_FOLDER, "0.0.0.0")],  # noqa: S104 - in a container that only the load balancer reaches
        environment={**environment, "AWS_REGION": region},
        port_mappings=[ecs.PortMapping(container_port=PORT)],
        user=_OWNER,
        readonly_root_filesystem=True,
        # Jobs give back what they hold, and write how far they came.
        stop_timeout=cdk.Duration.minutes(2),
        logging=ecs.LogDriver.aws_logs(stream_prefix="page", log_group=log),
    )
    loaded = ecs.ContainerDependency(container=loader, condition=ecs.ContainerDependencyCondition.SUCCESS)
    page.add_container_dependencies(loaded)
    for container in (loader, page):
        container.add_mount_points(
            ecs.MountPoint(container_path=_FOLDER, source_volume="page", read_only=False),
            ecs.MountPoint(container_path="/tmp", source_volume="tmp", read_only=False),  # noqa: S108 - in a container
        )


def start(folder: str, address: str, port: int = PORT) -> str:
    """The command that unpacks the bundle in `folder` and becomes the page, so that the container's end reaches it."""
    return (
        f"cd {folder} && python -m zipfile -e {_FILE} code && cd code && "
        f"exec python -m celeriac_console.web.deployed {address} {port}"
    )
