"""`celeriac resume`: start the consumer of a paused queue again."""

from celeriac_console.commands.pause import switch
from celeriac_console.options import Json, QueueName


def resume(queue: QueueName, *, json_: Json = False) -> None:
    """Start the consumer of a paused queue again.

    Example: celeriac resume payments
    """
    switch(queue, on=True, json_=json_)
