"""The consumer of a queue on Fargate: containers that poll it, whose number follows its messages."""

import re
from collections.abc import Iterable, Mapping
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk.aws_lambda import AssetCode
from aws_cdk.aws_s3_assets import Asset
from constructs import Construct

from celeriac.model import names, settings
from celeriac.model.fargate import ENTRY, GIB, KILLED_AFTER, LOCAL_STOP_TIMEOUT, READY_VARIABLE, STOP_TIMEOUT
from celeriac.model.queue import Queue
from celeriac_cdk.config import ConfigError
from celeriac_cdk.constructs.function_logs import log_name
from celeriac_cdk.constructs.handler import Runtime, variables
from celeriac_cdk.constructs.key import use_key
from celeriac_cdk.ecs import fetched
from celeriac_cdk.ecs.scaling import scale
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.queue_alarms import watch_containers, watch_queue
from celeriac_cdk.nag import acknowledge, acknowledge_wildcard
from celeriac_cdk.permissions import arn, consume, send

READY = "/tmp/polls"  # noqa: S108 - in a container
"""The file that a worker makes once it has polled."""
_USUAL_STORAGE = 512
"""The declaration's default, which is Lambda's. Then Fargate's own default is right."""
# 123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/image:tag
# 123456789012.dkr-ecr.eu-west-1.on.aws/team/image:tag
_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.(amazonaws\.com(\.cn)?|on\.aws)/(?P<name>[\w./-]+)"
)


class Cluster(Construct):
    """The cluster of a stage, `<application>-<stage>--workers`. A cluster is a name, and costs nothing."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: str) -> None:
        super().__init__(scope, construct_id)
        self.name = names.workers_cluster(stage)
        self.cluster = ecs.CfnCluster(self, "Cluster", cluster_name=self.name)
        acknowledge(self, "ECS4", "the metrics of tasks and queues tell what workers do, and insights cost more")


class Containers(Construct):
    """The service that runs a queue's tasks, with its role and the alarms of the queue.

    The local cloud has no containers: there the task definition alone is built, and `celeriac local up` runs what it
    says as a process.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queue: Queue,
        cluster: Cluster,
        runtime: Runtime,
        permissions: Iterable[iam.PolicyStatement],
        environment: Mapping[str, str],
        alarms: Alarms,
    ) -> None:
        """Build the consumer of `queue`. `permissions` are the rights of its tasks. The right to read is added.

        Raises ConfigError if no network is known.
        """
        super().__init__(scope, construct_id)
        stage, name = runtime.config.stage, queue.function_name(runtime.config.stage)
        self.log_group: logs.ILogGroup = logs.LogGroup.from_log_group_name(self, "Log", log_name(name))
        self.role = iam.Role(self, "ContainerRole", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
        """What the tasks may do is given to it. A function's has another id: while a queue moves there are both."""
        theirs = arn("ecs", f"task/{cluster.name}/*")
        protect = iam.PolicyStatement(actions=["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"], resources=[theirs])
        own = [consume(queue.physical_name(stage)), send([queue.dead_letter_name(stage)])]
        for statement in [*own, *permissions, *use_key(runtime.key), protect]:
            self.role.add_to_policy(statement)
        self.task_definition = self._task(queue, runtime, {**variables(runtime), **environment, **queue.environment})
        watch_queue(self, queue, alarms)
        acknowledge(self, "ECS2", "the variables are names, and secrets are read by their names")
        acknowledge_wildcard(self, theirs, "ECS chooses the ids of containers; the cluster is the stage's own")
        streams = arn("logs", f"log-group:{log_name(name)}:*")
        acknowledge_wildcard(self, streams, "ECS chooses the names of a log's streams")
        if runtime.config.local:  # nor has its CloudFormation alarms on more than one metric
            return
        watch_containers(self, queue, alarms)
        service = ecs.CfnService(
            self,
            "Service",
            service_name=name,
            cluster=cluster.name,
            task_definition=self.task_definition.task_definition_arn,
            launch_type="FARGATE",
            # No number of containers: each deploy would set it again. ECS begins with one.
            network_configuration=ecs.CfnService.NetworkConfigurationProperty(
                awsvpc_configuration=_network(queue, runtime)
            ),
            deployment_configuration=ecs.CfnService.DeploymentConfigurationProperty(
                minimum_healthy_percent=100,
                maximum_percent=200,
                deployment_circuit_breaker=ecs.CfnService.DeploymentCircuitBreakerProperty(enable=True, rollback=True),
            ),
            propagate_tags="SERVICE",
        )
        service.node.add_dependency(cluster.cluster, self.role)
        scaling = Construct(self, "Scaling")
        scale(scaling, queue, stage, cluster=cluster.name, service=name)
        scaling.node.add_dependency(service)

    def _task(self, queue: Queue, runtime: Runtime, environment: Mapping[str, str]) -> ecs.FargateTaskDefinition:
        name = queue.function_name(runtime.config.stage)
        storage = queue.ephemeral_storage
        python = queue.runtime.removeprefix("python")
        task = ecs.FargateTaskDefinition(
            self,
            "Task",
            family=name,
            cpu=queue.cpu,
            memory_limit_mib=queue.memory,
            ephemeral_storage_gib=storage // GIB if storage != _USUAL_STORAGE else None,
            task_role=self.role,
            runtime_platform=fetched.platform(queue.architecture),
        )
        stop = LOCAL_STOP_TIMEOUT if runtime.config.local else STOP_TIMEOUT
        command = f"python -m {ENTRY} {queue.name} {queue.batch} {int(stop.total_seconds())}"
        code = None
        if not runtime.config.local:
            bundle = Asset(self, "Code", path=cast("AssetCode", runtime.code(queue.architecture, queue.runtime)).path)
            code = fetched.Fetched(task, bundle, "worker", log=self.log_group)
        # Outside of its volumes nothing can be written, as in Lambda.
        own = {"HOME": "/tmp", READY_VARIABLE: READY} if code is not None else {}  # noqa: S108 - in a container
        container = task.add_container(
            "Worker",
            image=ecs.ContainerImage.from_registry(queue.image) if queue.image else fetched.image(python),
            entry_point=["sh", "-c"],
            command=[code.run(command) if code is not None else command],
            environment={**own, **environment, "AWS_REGION": cdk.Stack.of(self).region},
            user=fetched.OWNER,
            # The first process of a container gets no signal without a handler, and must bury what others leave.
            linux_parameters=ecs.LinuxParameters(self, "Linux", init_process_enabled=True),
            # A container that has never polled is no release: without this ECS takes it for a healthy one.
            health_check=ecs.HealthCheck(
                command=["CMD-SHELL", f"test -e {READY}"],
                interval=cdk.Duration.seconds(30),
                retries=10,
                start_period=cdk.Duration.minutes(5),
            ),
            # Otherwise a service that isn't deployed for long needs an image that may be gone.
            version_consistency=ecs.VersionConsistency.DISABLED,
            readonly_root_filesystem=True,
            stop_timeout=cdk.Duration.seconds(KILLED_AFTER.total_seconds()),
            logging=ecs.LogDriver.aws_logs(stream_prefix="worker", log_group=self.log_group),
        )
        if code is not None:
            code.into(container)
        _allow_pull(task, queue.image)
        return task


def _network(queue: Queue, runtime: Runtime) -> ecs.CfnService.AwsVpcConfigurationProperty:
    """The subnets and security groups of the containers, and whether they have public addresses."""
    if (given := runtime.network) is not None:
        wanted = given.subnets or ec2.SubnetSelection()
        chosen = given.vpc.select_subnets(
            availability_zones=wanted.availability_zones,
            one_per_az=wanted.one_per_az,
            subnet_filters=wanted.subnet_filters,
            subnet_group_name=wanted.subnet_group_name,
            subnets=wanted.subnets,
            subnet_type=wanted.subnet_type,
        )
        subnets, groups = chosen.subnet_ids, [group.security_group_id for group in given.security_groups]
        is_public = chosen.has_public
    elif (vpc := runtime.config.settings.vpc) is not None:
        subnets, groups, is_public = list(vpc.subnets), list(vpc.security_groups), vpc.public_ip
    else:
        raise ConfigError(
            f'the queue {queue.name!r} has runner="fargate", and the stage {runtime.config.stage} has no VPC for its '
            f"containers: set vpc.subnets and vpc.security_groups under stages.{runtime.config.stage} in "
            f"{settings.FILE}, or give vpc= to Celeriac"
        )
    return ecs.CfnService.AwsVpcConfigurationProperty(
        subnets=subnets, security_groups=groups, assign_public_ip="ENABLED" if is_public else "DISABLED"
    )


def _allow_pull(task: ecs.FargateTaskDefinition, image: str) -> None:
    """Let ECS fetch an image of the team's own registry."""
    found = _ECR.match(image)
    if found is None:
        return
    role = task.obtain_execution_role()
    repository = arn("ecr", f"repository/{found['name']}", region=found["region"], account=found["account"])
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
    role.add_to_principal_policy(iam.PolicyStatement(actions=pull, resources=[repository]))
    role.add_to_principal_policy(iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]))
    acknowledge_wildcard(task, "*", "a token of the registry has no resource to name")
