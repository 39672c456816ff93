"""`celeriac dlq discard`: delete dead letters."""

import json
from collections.abc import Sequence

import typer

from celeriac.model.settings import stage
from celeriac_console.application import by_name
from celeriac_console.dlq.discarder import Discarder
from celeriac_console.dlq.filter import Filter, filter_of
from celeriac_console.dlq.kinds import Kinds, show_kinds
from celeriac_console.dlq.options import Contains, OfError, OfTask, Since, Until
from celeriac_console.dlq.queue_reader import Pass, Taken, depth, hidden_for, paced, say_missed
from celeriac_console.options import Json, PerSecond, QueueName, Yes
from celeriac_console.rate import Rate
from celeriac_console.terminal.confirm import confirm
from celeriac_console.terminal.errors import CommandInterruptedError
from celeriac_console.terminal.next_steps import same_command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.progress import progress


def discard(
    queue: QueueName,
    *,
    task: OfTask = None,
    error: OfError = None,
    since: Since = None,
    until: Until = None,
    contains: Contains = None,
    rate: PerSecond = None,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Delete dead letters permanently. Shows them first, then asks.

    Example: celeriac dlq discard payments --error "card declined" --until 7d
    """
    declared, wanted = by_name.queue(queue), filter_of(task, error, since, until, contains)
    by_name.warn_of_task(task)
    shown: set[str] | None = None
    if not yes:
        kinds, shown = _preview(queue, wanted)
        show_kinds(queue, kinds, stderr=True)
        confirm(
            f"Delete them permanently, in the stage {stage()}? To keep a copy, answer no and use celeriac dlq export.",
            otherwise="add --yes to delete without being asked",
        )
    reading = paced(declared, rate)

    def is_meant(one: Taken) -> bool:
        # Letters that arrived after the preview weren't shown to the user, so they aren't deleted.
        return wanted.matches(one.letter) and (shown is None or one.message_id in shown)

    with progress("discarding", reading.total) as advance:
        discarder = Discarder(reading, is_meant, Rate(rate), advance)
        try:
            reading.run(discarder.visit, wait=True)
        except KeyboardInterrupt:
            raise CommandInterruptedError(
                f"{counted(discarder.discarded, 'dead letter')} of {queue} discarded. "
                f"Go on: {same_command(since=wanted.since, until=wanted.until)}"
            ) from None
    said = f"{counted(discarder.discarded, 'dead letter')} of {queue} discarded"
    typer.echo(json.dumps({"discarded": discarder.discarded}) if json_ else said)
    say_missed(reading.missed)


def _preview(queue: str, wanted: Filter) -> tuple[Kinds, set[str]]:
    """The letters that would be deleted: counted by kind, and their SQS message ids."""
    kinds, ids, declared = Kinds(), set[str](), by_name.queue(queue)
    total = depth(declared)

    def visit(taken: Sequence[Taken]) -> set[str]:
        meant = [one for one in taken if wanted.matches(one.letter)]
        kinds.add(one.letter for one in meant)
        ids.update(one.message_id for one in meant)
        advance(len(taken))
        return set()

    with progress("reading", total) as advance:
        Pass(declared, hidden=hidden_for(total)).run(visit)
    return kinds, ids
