"""`celeriac dlq redrive`: send dead letters back to their queue, with changed arguments if wanted."""

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.declare import registry
from celeriac.model import project, settings
from celeriac_console.application import by_name
from celeriac_console.application.arguments import split, value_for
from celeriac_console.dlq.editor import edited
from celeriac_console.dlq.filter import Filter, filter_of
from celeriac_console.dlq.find import find
from celeriac_console.dlq.kinds import Kinds, kinds_as_json, show_kinds
from celeriac_console.dlq.left import say_left
from celeriac_console.dlq.options import Contains, Limit, OfError, OfTask, Since, Until
from celeriac_console.dlq.queue_reader import Taken, paced, say_missed
from celeriac_console.dlq.redriver import Redriver
from celeriac_console.dlq.same_arguments import same_arguments
from celeriac_console.lookup.reference import ids_of
from celeriac_console.options import Json, PerSecond, QueueName, Yes
from celeriac_console.rate import Rate
from celeriac_console.terminal.confirm import confirm
from celeriac_console.terminal.errors import FAILED, CommandInterruptedError, UserError
from celeriac_console.terminal.next_steps import same_command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.progress import progress
from celeriac_console.terminal.screen import say


def redrive(
    queue: QueueName,
    *,
    task: OfTask = None,
    error: OfError = None,
    since: Since = None,
    until: Until = None,
    contains: Contains = None,
    limit: Limit = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="Only this letter: the task's reference or id, or SQS's id.")
    ] = None,
    rate: PerSecond = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change an argument, as name=value; JSON or plain text.")
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Change the arguments of one letter in $EDITOR.")] = False,
    to: Annotated[str | None, typer.Option(help="Send them to this queue instead.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, but send nothing.")] = False,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Send dead letters back to their queue. Each keeps its id and gets fresh attempts.

    Asks first if it would redrive all letters in a stage that keeps its data, such as prod.

    Example: celeriac dlq redrive payments --task process_payment --since 2h --rate 20
    """
    source, target = by_name.queue(queue), by_name.queue(to or queue)
    changes = dict(split(text) for text in set_ or [])
    ids = ids_of(id_) if id_ is not None else None
    if edit and id_ is None:
        raise UserError("--edit changes one letter: name it with --id")
    replaced = _edited(find(queue, id_)) if edit and id_ is not None else None
    wanted = filter_of(task, error, since, until, contains)
    by_name.warn_of_task(task)

    def is_meant(one: Taken) -> bool:
        return wanted.matches(one.letter) and (ids is None or not ids.isdisjoint((one.letter.id, one.message_id)))

    def change(letter: DeadLetter) -> dict[str, Any]:
        meant = registry.tasks.get(letter.task)
        values = {name: value_for(meant, name, text) for name, text in changes.items()}
        return (letter.args if replaced is None else replaced) | values

    reading, kinds = paced(source, rate), Kinds()
    is_everything = wanted.is_everything and id_ is None and (limit is None or limit >= reading.total)
    if is_everything and not (yes or dry_run) and project.read(Path.cwd()).stage(settings.stage()).keeps:
        confirm(
            f"Redrive all {counted(reading.total, 'dead letter')} of {queue} in the stage {settings.stage()}?",
            otherwise="add --yes, or choose letters with --task, --error, --since or --limit",
        )
    with progress("redriving", reading.total) as advance:
        redriver = Redriver(
            reading,
            target,
            is_meant,
            change,
            pace=Rate(rate),
            most=1 if id_ is not None else limit,
            would_send=(lambda some: kinds.add(one.letter for one in some)) if dry_run else None,
            advance=advance,
        )
        try:
            reading.run(redriver.visit, wait=not dry_run)
        except KeyboardInterrupt:
            raise CommandInterruptedError(_so_far(redriver, queue, wanted, limit)) from None
    if id_ is not None and not redriver.matched:
        raise UserError(f"no dead letter of {queue} has the id {id_}")
    if dry_run and json_:
        typer.echo(json.dumps(kinds_as_json(queue, kinds)))
    elif dry_run:
        show_kinds(queue, kinds)
    _report(f"of {queue} redriven to {to or queue}", redriver, quiet=dry_run, json_=json_)
    say_missed(reading.missed)


def _edited(taken: Taken) -> dict[str, Any]:
    before = json.dumps(taken.letter.args, indent=2, ensure_ascii=False)
    try:
        after = json.loads(edited(before, ".json"))
    except ValueError as error:
        raise UserError(f"the edited text is not JSON: {error}") from error
    if not isinstance(after, dict):
        raise UserError('the arguments must be a JSON object, such as {"user_id": 7}')
    if same_arguments(after, taken.letter.args):
        raise UserError("the arguments were not changed in the editor: nothing is sent")
    by_name.task(taken.letter.task).signature.decode(msgspec.json.encode(after))
    return after


def _report(what: str, redriver: Redriver, *, quiet: bool, json_: bool) -> None:
    if json_ and not quiet:
        counts = {"matched": redriver.matched, "redriven": redriver.redriven, "problems": redriver.problems[:100]}
        typer.echo(json.dumps(counts))
    elif not quiet:
        say(f"{redriver.redriven} of {counted(redriver.matched, 'dead letter')} {what}")
    say_left(redriver)
    if redriver.problems:
        raise typer.Exit(FAILED)


def _so_far(redriver: Redriver, queue: str, wanted: Filter, limit: int | None) -> str:
    """The progress so far, and the command that goes on. A relative time such as `2h` becomes an absolute one."""
    total = redriver.reading.total if limit is None else min(limit, redriver.reading.total)
    done = f"{redriver.redriven} of {counted(total, 'dead letter')} of {queue}"
    if not wanted.is_everything:
        there = counted(redriver.reading.total, "letter")
        done = f"{counted(redriver.redriven, 'dead letter')} of {queue}, after a look at {redriver.seen} of {there},"
    left = None if limit is None else max(1, limit - redriver.redriven)
    again = same_command(limit=left, since=wanted.since, until=wanted.until)
    are = "is" if redriver.redriven == 1 else "are"
    return f"{done} {are} redriven, the others are still dead letters. Go on: {again}"
