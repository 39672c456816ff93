"""Find one dead letter."""

from collections.abc import Sequence

from celeriac_console.application import by_name
from celeriac_console.dlq.queue_reader import Pass, Taken, depth, hidden_for
from celeriac_console.lookup.reference import ids_of
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command
from celeriac_console.terminal.progress import progress


def find(queue: str, id_: str) -> Taken:
    """The dead letter that an id or a reference names. Raises UserError if there is none."""
    found: list[Taken] = []
    declared = by_name.queue(queue)
    ids = ids_of(id_)
    total = depth(declared)
    reading = Pass(declared, hidden=hidden_for(total))
    with progress("searching", total) as advance:

        def visit(taken: Sequence[Taken]) -> set[str]:
            found.extend(one for one in taken if not ids.isdisjoint((one.letter.id, one.message_id)))
            advance(len(taken))
            if found:
                reading.stop()
            return set()

        reading.run(visit)
    if not found:
        hidden = f", though {reading.missed} could not be read" if reading.missed else ""
        listing = command("dlq", "list", queue, "--letters")
        raise UserError(f"no dead letter of {queue} has the id {id_}{hidden}: {listing} shows each")
    return found[0]
