"""The consumer of a queue: its event source mapping, or its service on Fargate, and its state."""

from pathlib import Path
from typing import TYPE_CHECKING

from celeriac.aws import sqs
from celeriac.model import project, settings
from celeriac.model.queue import Queue
from celeriac.model.settings import stage
from celeriac.model.stages import LOCAL
from celeriac_console.stage import services
from celeriac_console.stage.clients import client
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import deploy_it

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import EventSourceMappingConfigurationTypeDef


def mapping_of(queue: Queue) -> "EventSourceMappingConfigurationTypeDef | None":
    """The event source mapping of a queue; None if it isn't deployed."""
    lambda_ = client("lambda")
    try:
        # Looked up by the queue, because the mapping may feed the function or an alias of it.
        source = sqs.arn(queue.physical_name(stage()))
        found = lambda_.list_event_source_mappings(EventSourceArn=source)["EventSourceMappings"]
    except (sqs.NoSuchQueueError, lambda_.exceptions.ResourceNotFoundException):
        return None
    return found[0] if found else None


def state(queue: Queue) -> str:
    """`on`, `paused` or, for any other state, AWS's word in lower case. `none` if it isn't deployed.

    On Fargate `held`: containers run, and their number doesn't follow the messages. A pause that failed halfway.
    """
    if not queue.is_on_fargate:
        return state_of(mapping_of(queue))
    if stage() == LOCAL:
        return "on"  # a process that the local cloud starts
    service = services.find(queue)
    if service is None:
        return "none"
    if service.is_held:
        return "paused" if service.is_paused else "held"
    return "on"


def state_of(mapping: "EventSourceMappingConfigurationTypeDef | None") -> str:
    """The same of an event source mapping."""
    if mapping is None:
        return "none"
    state = mapping.get("State", "unknown").lower()
    if state in {"enabled", "enabling", "updating"}:
        return "on"
    return "paused" if state in {"disabled", "disabling"} else state


def switch(queue: Queue, *, on: bool) -> str:
    """Turn the consumer of a queue on or off, and return AWS's word for its state now.

    It takes Lambda up to a minute. A container ends its batch first, for which it has two minutes, or as long as the
    batch takes if it is protected.

    Raises UserError if it isn't deployed.
    """
    if queue.is_on_fargate:
        return _switch_service(queue, on=on)
    mapping = mapping_of(queue)
    if mapping is None:
        raise UserError(f"the queue {queue.name!r} has no consumer in stage {stage()!r}: {deploy_it()}")
    return client("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=on)["State"]


def takes(queue: Queue, *, on: bool) -> str:
    """How long it is until a switched consumer does as it is told."""
    if not queue.is_on_fargate:
        return "it takes Lambda up to a minute"
    return "a container starts within two minutes" if on else "containers end their batches first"


def _switch_service(queue: Queue, *, on: bool) -> str:
    if stage() == LOCAL:
        raise UserError(
            f"the queue {queue.name!r} is on Fargate, and the local cloud runs its tasks in a process: stop that "
            f"process, or the local cloud. To start it again: {deploy_it().partition(': ')[2]}"
        )
    if services.find(queue) is None:
        raise UserError(f"the queue {queue.name!r} has no service in stage {stage()!r}: {deploy_it()}")
    services.switch(project.read(Path.cwd()).stage(stage()).applied(queue, settings.FILE), on=on)
    return "Starting" if on else "Stopping"
