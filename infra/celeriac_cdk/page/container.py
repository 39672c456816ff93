"""The container of the operators' page."""

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
from celeriac_cdk.ecs import fetched
from celeriac_cdk.page.settings import Web

PORT = 8080
NAME = "Page"
_CPU = 256
"""A quarter of a core."""
_BUNDLE = "page"


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
    task = ecs.FargateTaskDefinition(
        scope,
        "Task",
        cpu=_CPU,
        memory_limit_mib=web.memory,
        task_role=role,
        runtime_platform=fetched.platform(code.architecture),
    )
    _containers(scope, config, web, task, bundle, python=code.python, environment=environment)
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
    bundle: Asset,
    *,
    python: str,
    environment: Mapping[str, str],
) -> None:
    log = logs.LogGroup(scope, "Log", retention=config.log_retention, removal_policy=cdk.RemovalPolicy.DESTROY)
    code = fetched.Fetched(task, bundle, _BUNDLE, log=log, loader=web.image_of_loader)
    page = task.add_container(
        NAME,
        image=web.image or fetched.image(python),
        entry_point=["sh", "-c"],
        command=[code.run(command("0.0.0.0"))],  # noqa: S104 - in a container that only the load balancer reaches
        environment={**environment, "AWS_REGION": cdk.Stack.of(scope).region},
        port_mappings=[ecs.PortMapping(container_port=PORT)],
        user=fetched.OWNER,
        readonly_root_filesystem=True,
        # Jobs give back what they hold, and write how far they came.
        stop_timeout=cdk.Duration.minutes(2),
        logging=ecs.LogDriver.aws_logs(stream_prefix="page", log_group=log),
    )
    code.into(page)


def command(address: str, port: int = PORT) -> str:
    """What becomes the page, in the folder of the bundle."""
    return f"python -m celeriac_console.web.deployed {address} {port}"
