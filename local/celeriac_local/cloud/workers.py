"""The tasks of queues on Fargate: each container of the deployment is a process here.

It has the command, the variables and the role that its task definition gives to the container. There is one process for
each queue, however many messages wait.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from celeriac.model import names
from celeriac.model.fargate import ENTRY
from celeriac_local import folders
from celeriac_local.cloud import environment, state
from celeriac_local.cloud.lifecycle import WORKER_SECONDS
from celeriac_local.cloud.processes import Process, is_running, spawn, stop
from celeriac_local.cloud.state import Cloud
from celeriac_local.folders import log

if TYPE_CHECKING:
    from mypy_boto3_sts.type_defs import CredentialsTypeDef

_HOURS = 12
"""The longest session of a role. A worker that is older can't call the emulator any more: bring the cloud up again."""


@dataclass(frozen=True, slots=True)
class Container:
    """What a task definition says of the container that runs tasks."""

    name: str
    """Of the task definition, and of the log."""
    command: tuple[str, ...]
    variables: Mapping[str, str]
    role: str


def start(cloud: Cloud) -> Cloud:
    """Stop the workers of the deployment before, and start those of this one. Returns the cloud with them, saved.

    Call it when this process uses the local cloud.
    """
    stop_all(cloud)
    cloud = replace(cloud, workers=())
    for container in deployed():
        process = _spawn(cloud, container)
        cloud = replace(cloud, workers=(*cloud.workers, process))
        state.save(cloud)  # each at once, so that `down` finds it
    return cloud


def keep(cloud: Cloud) -> Cloud:
    """Start the workers of the deployment again if one of them has ended."""
    return cloud if all(is_running(each) for each in cloud.workers) else start(cloud)


def stop_all(cloud: Cloud) -> None:
    """Tell the workers to end: what they run goes on later."""
    for process in cloud.workers:
        # Beyond its stop timeout a worker ends itself.
        stop(process, marker=ENTRY, grace_seconds=WORKER_SECONDS)


def deployed() -> Iterator[Container]:
    """The containers of the stage's newest task definitions."""
    import boto3  # noqa: PLC0415 - takes half a second, which `make down` doesn't need

    ecs = boto3.client("ecs")
    start_of_names = names.start(environment.STAGE)
    families = ecs.list_task_definition_families(familyPrefix=start_of_names, status="ACTIVE")["families"]
    for family in sorted(families):
        yield container(family, ecs.describe_task_definition(taskDefinition=family)["taskDefinition"])


def container(family: str, definition: Mapping[str, Any]) -> Container:
    """The container of a task definition."""
    (found,) = definition["containerDefinitions"]
    (line,) = found["command"]
    variables = {each["name"]: each["value"] for each in found.get("environment", ())}
    return Container(family, tuple(shlex.split(line)), variables, definition["taskRoleArn"])


def _spawn(cloud: Cloud, wanted: Container) -> Process:
    return spawn(
        [sys.executable, *wanted.command[1:]],  # it begins with `python`
        env=of_worker(cloud.port, os.environ, wanted, _session(wanted)),
        folder=folders.root(),
        log=log(wanted.name),
    )


def of_worker(
    port: int, base: Mapping[str, str], wanted: Container, credentials: "CredentialsTypeDef"
) -> dict[str, str]:
    """The environment of a worker: the container's, on the local cloud, with a session of its role."""
    source = str(folders.source_root())
    paths = [source, *(each for each in base.get("PYTHONPATH", "").split(os.pathsep) if each)]
    return {
        **{name: base[name] for name in ("PATH", "LANG", "TZ") if name in base},
        **wanted.variables,
        **environment.of_client(port),
        "HOME": str(folders.home()),
        "PYTHONPATH": os.pathsep.join(paths),
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }


def _session(wanted: Container) -> "CredentialsTypeDef":
    import boto3  # noqa: PLC0415 - as above

    sts = boto3.client("sts")
    answer = sts.assume_role(RoleArn=wanted.role, RoleSessionName=wanted.name, DurationSeconds=_HOURS * 3600)
    return answer["Credentials"]
