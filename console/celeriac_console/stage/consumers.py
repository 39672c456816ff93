"""The consumer of a queue: its event source mapping and its state."""

from typing import TYPE_CHECKING

from celeriac.aws import sqs
from celeriac.model.queue import Queue
from celeriac.model.settings import stage
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


def state_of(mapping: "EventSourceMappingConfigurationTypeDef | None") -> str:
    """`on`, `paused` or, for any other state, Lambda's word in lower case. `none` if there is no mapping."""
    if mapping is None:
        return "none"
    state = mapping.get("State", "unknown").lower()
    if state in {"enabled", "enabling", "updating"}:
        return "on"
    return "paused" if state in {"disabled", "disabling"} else state


def switch(queue: Queue, *, on: bool) -> str:
    """Turn the consumer of a queue on or off. It takes Lambda up to a minute; returns Lambda's word for the state now.

    Raises UserError if it isn't deployed.
    """
    mapping = mapping_of(queue)
    if mapping is None:
        raise UserError(f"the queue {queue.name!r} has no consumer in stage {stage()!r}: {deploy_it()}")
    return client("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=on)["State"]
