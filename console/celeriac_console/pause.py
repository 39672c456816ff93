"""`celeriac pause` and `celeriac resume`: stop and start the consumer of a queue."""

import json
from typing import TYPE_CHECKING

import typer

from celeriac.aws import sqs
from celeriac.model.queue import Queue
from celeriac.model.settings import stage
from celeriac_console import known
from celeriac_console.clients import client
from celeriac_console.options import Json, QueueName
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import deploy_it

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import EventSourceMappingConfigurationTypeDef


def pause(queue: QueueName, *, json_: Json = False) -> None:
    """Stop the consumer of a queue. Waiting messages stay in the queue, and no attempt is charged.

    Example: celeriac pause payments
    """
    _switch(queue, on=False, json_=json_)


def resume(queue: QueueName, *, json_: Json = False) -> None:
    """Start the consumer of a paused queue again.

    Example: celeriac resume payments
    """
    _switch(queue, on=True, json_=json_)


def mapping_of(queue: Queue) -> "EventSourceMappingConfigurationTypeDef | None":
    """The event source mapping that feeds a queue's consumer; None if it isn't deployed."""
    lambda_ = client("lambda")
    try:
        # Looked up by the queue, because the mapping may feed the function or an alias of it.
        source = sqs.arn(queue.physical_name(stage()))
        found = lambda_.list_event_source_mappings(EventSourceArn=source)["EventSourceMappings"]
    except (sqs.NoSuchQueueError, lambda_.exceptions.ResourceNotFoundException):
        return None
    return found[0] if found else None


def _switch(name: str, *, on: bool, json_: bool) -> None:
    mapping = mapping_of(known.queue(name))
    if mapping is None:
        raise UserError(f"the queue {name!r} has no consumer in stage {stage()!r}: {deploy_it()}")
    state = client("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=on)["State"]
    if json_:
        typer.echo(json.dumps({"queue": name, "state": state}))
    else:
        typer.echo(f"{name}: {'on' if on else 'paused'} ({state.lower()}; it takes Lambda up to a minute)")
