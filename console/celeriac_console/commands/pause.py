"""`celeriac pause`: stop the consumer of a queue."""

import json

import typer

from celeriac_console.application import by_name
from celeriac_console.options import Json, QueueName
from celeriac_console.stage import consumers


def pause(queue: QueueName, *, json_: Json = False) -> None:
    """Stop the consumer of a queue. Waiting messages stay in the queue, and no attempt is charged.

    Example: celeriac pause payments
    """
    switch(queue, on=False, json_=json_)


def switch(name: str, *, on: bool, json_: bool) -> None:
    """Turn the consumer of a queue on or off, and print its state. Raises UserError if it isn't deployed."""
    queue = by_name.queue(name)
    state = consumers.switch(queue, on=on)
    if json_:
        typer.echo(json.dumps({"queue": name, "state": state}))
    else:
        typer.echo(f"{name}: {'on' if on else 'paused'} ({state.lower()}; {consumers.takes(queue, on=on)})")
