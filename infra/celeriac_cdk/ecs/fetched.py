"""A container with code from a bundle. No image is built: AWS's command line fetches the bundle, Python runs it."""

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk.aws_s3_assets import Asset

OWNER = "0"
"""Only root may write to a volume of Fargate, and some images begin as somebody else."""
_TMP = "/tmp"  # noqa: S108 - in a container
_LOADER = "public.ecr.aws/aws-cli/aws-cli:latest"


def image(python: str) -> ecs.ContainerImage:
    """The image of the Docker project with a version of Python, such as `3.13`, from AWS's public registry."""
    return ecs.ContainerImage.from_registry(f"public.ecr.aws/docker/library/python:{python}-slim")


def platform(architecture: str) -> ecs.RuntimePlatform:
    """Linux on `arm64` or `x86_64`."""
    is_arm = architecture == "arm64"
    return ecs.RuntimePlatform(
        cpu_architecture=ecs.CpuArchitecture.ARM64 if is_arm else ecs.CpuArchitecture.X86_64,
        operating_system_family=ecs.OperatingSystemFamily.LINUX,
    )


class Fetched:
    """The bundle in a task definition, in a folder and a file of the volume `name`."""

    def __init__(
        self,
        task: ecs.FargateTaskDefinition,
        bundle: Asset,
        name: str,
        *,
        log: logs.ILogGroup,
        loader: ecs.ContainerImage | None = None,
    ) -> None:
        """Add the container that fetches it, with the rights of the task's role.

        loader: an image whose entry point is AWS's command line. None: AWS's own, from its public registry.
        """
        self._folder, self._file, self._name = f"/{name}", f"{name}.zip", name
        for volume in (name, "tmp"):
            task.add_volume(name=volume)
        read = bundle.bucket.arn_for_objects(bundle.s3_object_key)
        task.task_role.add_to_principal_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=[read]))
        self._loader = task.add_container(
            "Loader",
            image=loader or ecs.ContainerImage.from_registry(_LOADER),
            command=["s3", "cp", "--only-show-errors", bundle.s3_object_url, f"{self._folder}/{self._file}"],
            # The command line keeps a cache at home, and only the volumes can be written to.
            environment={"AWS_REGION": cdk.Stack.of(task).region, "HOME": _TMP},
            essential=False,
            user=OWNER,
            readonly_root_filesystem=True,
            # The image of the last deploy may be gone from the registry by the time a container starts.
            version_consistency=ecs.VersionConsistency.DISABLED,
            logging=ecs.LogDriver.aws_logs(stream_prefix="loader", log_group=log),
        )
        self._mount(self._loader)

    def run(self, command: str) -> str:
        """The line for a shell that unpacks the bundle and becomes `command`, so that signals reach it."""
        return unpacked(self._folder, self._file, command)

    def into(self, container: ecs.ContainerDefinition) -> None:
        """Let a container begin when the bundle is there."""
        loaded = ecs.ContainerDependency(container=self._loader, condition=ecs.ContainerDependencyCondition.SUCCESS)
        container.add_container_dependencies(loaded)
        self._mount(container)

    def _mount(self, container: ecs.ContainerDefinition) -> None:
        for path, volume in ((self._folder, self._name), (_TMP, "tmp")):
            container.add_mount_points(ecs.MountPoint(container_path=path, source_volume=volume, read_only=False))


def unpacked(folder: str, file: str, command: str) -> str:
    """The line for a shell that unpacks `file` in `folder`, and becomes `command` beside what was in it."""
    return f"cd {folder} && python -m zipfile -e {file} code && cd code && exec {command}"
