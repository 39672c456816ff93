"""`celeriac quarantine lift`: run the messages of a task, or of a kind of failure, again."""

import json

from celeriac.consume import quarantine
from celeriac_console.commands.quarantine.add import OfAKind, OfATask, entry_of
from celeriac_console.options import Json
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.screen import say


def lift(*, task: OfATask = None, kind: OfAKind = None, json_: Json = False) -> None:
    """End a quarantine. Its dead letters stay dead until they are redriven.

    Example: celeriac quarantine lift --task process_payment
    """
    entry = entry_of(task, kind)
    if entry not in quarantine.entries():
        raise UserError(f"{entry} isn't in quarantine: celeriac quarantine list shows what is")
    quarantine.lift(entry)
    redrive = command("dlq", "redrive", "QUEUE")
    freed = f"{entry} is free again within a minute; redrive what it has dead-lettered: {redrive}"
    say(json.dumps(entry) if json_ else freed)
