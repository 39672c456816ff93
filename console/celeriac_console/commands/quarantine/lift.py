"""`celeriac quarantine lift`: run the messages of a task, or of a kind of failure, again."""

import json

from celeriac_console.application import quarantined
from celeriac_console.application.quarantined import entry_of
from celeriac_console.commands.quarantine.add import OfAKind, OfATask
from celeriac_console.options import Json
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.screen import say


def lift(*, task: OfATask = None, kind: OfAKind = None, json_: Json = False) -> None:
    """End a quarantine. Its dead letters stay dead until they are redriven.

    Example: celeriac quarantine lift --task process_payment
    """
    entry = entry_of(task, kind)
    quarantined.lift(entry)
    redrive = command("dlq", "redrive", "QUEUE")
    freed = f"{entry} is free again within a minute; redrive what it has dead-lettered: {redrive}"
    say(json.dumps(entry) if json_ else freed)
