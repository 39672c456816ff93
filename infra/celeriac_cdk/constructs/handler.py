"""The Lambda functions of a stage. All have the same bundle. Each has a role with few rights."""

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from celeriac.model import declared, settings
from celeriac.model.queue import DEFAULT_RUNTIME
from celeriac_cdk.config import ConfigError, StageConfig
from celeriac_cdk.constructs.function_logs import log_name
from celeriac_cdk.constructs.key import encrypting, use_key
from celeriac_cdk.nag import acknowledge_wildcard
from celeriac_cdk.permissions import arn

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
_NETWORK_ACTIONS = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)


@dataclass(frozen=True, slots=True)
class Size:
    """What one function has otherwise than the others."""

    memory: int = 512
    """In MB."""
    storage: int = 512
    """Its /tmp, in MB."""
    reserved: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    vpc: bool = False
    architecture: str | None = None
    """None: that of most of the stage."""
    python: str | None = None
    """Lambda's runtime. None: that of most of the stage."""


@dataclass(frozen=True, slots=True)
class Network:
    """A VPC of the CDK, for the consumers of queues with `vpc=True`."""

    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection | None
    """None: the CDK's choice, which is private subnets with a way to the internet."""
    security_groups: Sequence[ec2.ISecurityGroup]


@dataclass(frozen=True, slots=True)
class Runtime:
    """The settings that all functions of a stage share."""

    config: StageConfig
    code: Callable[[str, str], lambda_.Code]
    """Builds the bundle for an architecture and a runtime."""
    key: kms.IKey | None = None
    """The stage's encryption key. None if keys of AWS are used."""
    network: Network | None = None
    """None: the VPC that celeriac.toml names, if it does."""
    architecture: str = "arm64"
    """That of functions without one of their own."""
    python: str = DEFAULT_RUNTIME
    """Lambda's runtime of functions without one of their own."""


def build_handler(
    scope: Construct,
    *,
    name: str,
    handler: str,
    timeout: timedelta,
    runtime: Runtime,
    permissions: Iterable[iam.PolicyStatement],
    size: Size | None = None,
) -> lambda_.Function:
    """Build the function `name`. It has `permissions`, and the right to write its log.

    By default Lambda stops a message after about 16 hops from queue to function to queue, because it takes them for an
    endless recursion. A task with many retries makes such hops, and so does a chain of tasks. A retry policy ends them,
    so recursion is allowed here.
    """
    config, size = runtime.config, size or Size()
    architecture, python = size.architecture or runtime.architecture, size.python or runtime.python
    log = logs.LogGroup.from_log_group_name(scope, "Log", log_name(name))
    role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    streams = arn("logs", f"log-group:{log_name(name)}:*")
    acknowledge_wildcard(role, streams, "Lambda chooses the names of a log's streams")
    write = iam.PolicyStatement(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[streams])
    for permission in [write, *permissions, *use_key(runtime.key)]:
        role.add_to_policy(permission)
    network = runtime.network if size.vpc else None
    function = lambda_.Function(
        scope,
        "Function",
        function_name=name,
        runtime=lambda_.Runtime(python, lambda_.RuntimeFamily.PYTHON, supports_inline_code=True),
        architecture=_architecture(config, architecture),
        handler=handler,
        code=runtime.code(architecture, python),
        memory_size=size.memory,
        ephemeral_storage_size=cdk.Size.mebibytes(size.storage),
        reserved_concurrent_executions=size.reserved,
        timeout=cdk.Duration.seconds(timeout.total_seconds()),
        role=role,
        log_group=log,
        recursive_loop=lambda_.RecursiveLoop.ALLOW,
        tracing=lambda_.Tracing.ACTIVE,
        environment_encryption=encrypting(runtime.key, config),
        vpc=network.vpc if network is not None else None,
        vpc_subnets=network.subnets if network is not None else None,
        security_groups=list(network.security_groups) if network is not None else None,
        environment={**variables(runtime), **size.environment},
    )
    if size.vpc and network is None and not config.local:  # the local cloud doesn't have that VPC
        _join_vpc(function, config)
    if network is not None or (size.vpc and not config.local):
        _let_lambda_join(name, role)
    return function


def variables(runtime: Runtime) -> dict[str, str]:
    """What our own code reads in the environment of each function, and of each container that runs tasks."""
    config = runtime.config
    return {
        settings.APPLICATION: config.application,
        settings.TASKS: declared.package(),
        settings.STAGE: config.stage,
        "POWERTOOLS_SERVICE_NAME": "celeriac",
        # The text of an error may quote a payload. On the local cloud the payload belongs to the developer, so the
        # log may have the text. On AWS only the dead letter has it.
        **({"CELERIAC_LOG_ERROR_TEXTS": "true"} if config.local else {}),
        **({"CELERIAC_KMS_KEY": runtime.key.key_arn} if runtime.key is not None and config.encrypts else {}),
        **({"CELERIAC_WIRE": "off"} if config.plain_botocore else {}),
    }


def _join_vpc(function: lambda_.Function, config: StageConfig) -> None:
    """Put the function into the VPC that celeriac.toml names.

    The CDK's own way needs the VPC itself, and so a look into the account.
    """
    vpc = config.settings.vpc
    if vpc is None:
        raise ConfigError(
            f"the queue of {function.node.path} has vpc=True, and the stage {config.stage} has no VPC: set "
            f"vpc.subnets and vpc.security_groups under stages.{config.stage} in {settings.FILE}, or give vpc= to "
            "Celeriac"
        )
    raw = cast("lambda_.CfnFunction", function.node.default_child)
    raw.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
        subnet_ids=list(vpc.subnets), security_group_ids=list(vpc.security_groups)
    )


def _let_lambda_join(function: str, role: iam.Role) -> None:
    """Let Lambda connect the function with the physical name `function` to a VPC, as its role."""
    role.add_to_policy(iam.PolicyStatement(actions=list(_NETWORK_ACTIONS), resources=["*"]))
    # Lambda itself needs these rights, and the function's own code must not have them.
    itself = arn("lambda", f"function:{function}")
    role.add_to_policy(
        iam.PolicyStatement(
            effect=iam.Effect.DENY,
            actions=list(_NETWORK_ACTIONS),
            resources=["*"],
            conditions={"ArnEquals": {"lambda:SourceFunctionArn": itself}},
        )
    )


def _architecture(config: StageConfig, its: str) -> lambda_.Architecture:
    """Return the declared one, except for the local cloud, which runs the functions on this machine."""
    if config.local:
        its = "x86_64" if platform.machine().lower() in {"x86_64", "amd64"} else "arm64"
    return lambda_.Architecture.X86_64 if its == "x86_64" else lambda_.Architecture.ARM_64
