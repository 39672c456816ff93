"""`celeriac pause`: stop the consumer of a queue."""

import json

import typer

from celeriac.model.settings import stage
from celeriac_console.application import by_name
from celeriac_console.options import Json, QueueName
from celeriac_console.stage.clients import client
from celeriac_console.stage.consumers import mapping_of
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import deploy_it


def pause(queue: QueueName, *, json_: Json = False) -> None:
    """Stop the consumer of a queue. Waiting messages stay in the queue, and no attempt is charged.

    Example: celeriac pause payments
    """
    switch(queue, on=False, json_=json_)


def switch(name: str, *, on: bool, json_: bool) -> None:
    """Turn the consumer of a queue on or off. Raises UserError if it isn't deployed."""
    mapping = mapping_of(by_name.queue(name))
    if mapping is None:
        raise UserError(f"the queue {name!r} has no consumer in stage {stage()!r}: {deploy_it()}")
    state = client("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=on)["State"]
    if json_:
        typer.echo(json.dumps({"queue": name, "state": state}))
    else:
        typer.echo(f"{name}: {'on' if on else 'paused'} ({state.lower()}; it takes Lambda up to a minute)")
