"""The containers of a queue on Fargate: the service of ECS, and the scaling of its number."""

from dataclasses import dataclass
from typing import Any

from celeriac.aws.client import error_code
from celeriac.model import names
from celeriac.model.queue import Queue
from celeriac.model.settings import stage
from celeriac_console.stage.clients import client

_DIMENSION = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}
_NONE = {"ClusterNotFoundException", "ServiceNotFoundException"}


@dataclass(frozen=True, slots=True)
class Service:
    """What runs a queue's tasks on Fargate."""

    running: int
    """How many containers there are now."""
    wanted: int
    fewest: int
    most: int
    is_held: bool
    """Whether nothing changes the wanted number."""
    said: str = ""
    """What ECS says last."""
    has_failed: bool = False
    """Whether the last release didn't come up."""

    @property
    def is_paused(self) -> bool:
        """Whether no container runs, and none will."""
        return self.is_held and not self.wanted


def find(queue: Queue) -> Service | None:
    """The service of a queue; None if it isn't deployed."""
    cluster, name = names.workers_cluster(stage()), queue.function_name(stage())
    try:
        found = client("ecs").describe_services(cluster=cluster, services=[name])["services"]
    except Exception as error:
        if error_code(error) in _NONE:
            return None
        raise
    there = [each for each in found if each["status"] == "ACTIVE"]
    if not there:
        return None
    answer = client("application-autoscaling").describe_scalable_targets(**_DIMENSION, ResourceIds=[_resource(queue)])
    target: dict[str, Any] = next(iter(answer["ScalableTargets"]), {})
    held = target.get("SuspendedState", {})
    return Service(
        running=there[0]["runningCount"],
        wanted=there[0]["desiredCount"],
        fewest=target.get("MinCapacity", 0),
        most=target.get("MaxCapacity", 0),
        said=next((each["message"] for each in there[0].get("events", ())), ""),
        has_failed=any(each.get("rolloutState") == "FAILED" for each in there[0].get("deployments", ())),
        is_held=bool(held.get("DynamicScalingInSuspended") and held.get("DynamicScalingOutSuspended")),
    )


def switch(queue: Queue, *, on: bool) -> None:
    """Let the number of containers follow the messages, or let there be none. A worker ends in order."""
    scaling, ecs = client("application-autoscaling"), client("ecs")
    kinds = ("DynamicScalingIn", "DynamicScalingOut", "ScheduledScaling")
    # Held first and released last: otherwise an alarm could start a worker in between.
    held = {f"{kind}Suspended": not on for kind in kinds}

    def hold() -> None:
        # A target puts the number between its bounds whenever it is registered, held or not.
        fewest = queue.workers[0] if on else 0
        scaling.register_scalable_target(
            **_DIMENSION, ResourceId=_resource(queue), SuspendedState=held, MinCapacity=fewest
        )

    def want(number: int) -> None:
        ecs.update_service(
            cluster=names.workers_cluster(stage()), service=queue.function_name(stage()), desiredCount=number
        )

    if on:
        # One looks for messages at once. If there are none, the alarm stops it soon.
        want(max(queue.workers[0], 1))
        hold()
    else:
        hold()
        want(0)


def _resource(queue: Queue) -> str:
    return f"service/{names.workers_cluster(stage())}/{queue.function_name(stage())}"
