"""`celeriac dlq redrive`: dead letters back to their queue, changed where need be."""

import json
from typing import Annotated, Any

import msgspec
import typer

from celeriac import registry
from celeriac.dead_letter import DeadLetter
from console import known
from console.arguments import split, value_for
from console.dead_letters import Kinds, find, show_kinds
from console.editor import edited
from console.filters import filter_of
from console.letters import HIDDEN, WORKERS, Pass, Taken, progress, say_missed
from console.mistakes import PROBLEM, Mistake
from console.options import Contains, Json, Limit, OfError, OfTask, QueueName, Since, Until
from console.rate import Rate, rate_of
from console.redriver import Redriver
from console.text import line


def redrive(
    queue: QueueName,
    *,
    task: OfTask = None,
    error: OfError = None,
    since: Since = None,
    until: Until = None,
    contains: Contains = None,
    limit: Limit = None,
    id_: Annotated[str | None, typer.Option("--id", help="Only this letter: the task's id, or SQS's.")] = None,
    rate: Annotated[float | None, typer.Option(parser=rate_of, metavar="N/s", help="At most so many a second.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change an argument, as name=value; JSON or plain text.")
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Change the arguments of one letter in $EDITOR.")] = False,
    to: Annotated[str | None, typer.Option(help="Send them to this queue instead.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, send nothing.")] = False,
    json_: Json = False,
) -> None:
    """Send dead letters to their queue once more: each with its id and fresh attempts.

    Example: celeriac dlq redrive payments --task process_payment --since 2h --rate 20
    """
    source, target = known.queue(queue), known.queue(to or queue)
    changes = dict(split(text) for text in set_ or [])
    if edit and id_ is None:
        raise Mistake("--edit changes one letter: name it with --id")
    replaced = _edited(find(queue, id_)) if edit and id_ is not None else None
    wanted = filter_of(task, error, since, until, contains)

    def is_meant(one: Taken) -> bool:
        return wanted.matches(one.letter) and id_ in {None, one.letter.id, one.message_id}

    def change(letter: DeadLetter) -> dict[str, Any]:
        meant = registry.tasks.get(letter.task)
        values = {name: value_for(meant, name, text) for name, text in changes.items()}
        return (letter.args if replaced is None else replaced) | values

    # A worker holds no more letters than it can send while they are hidden.
    batch = max(1, min(10, int(rate * HIDDEN.total_seconds() / 4))) if rate else 10
    workers = WORKERS if rate is None or rate > WORKERS * batch else 1
    reading, kinds = Pass(source, workers=workers, batch=batch), Kinds()
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
        reading.run(redriver.visit, wait=not dry_run)
    if id_ is not None and not redriver.matched:
        raise Mistake(f"no dead letter of {queue} has the id {id_}")
    if dry_run:
        show_kinds(queue, kinds, json_=json_)
    _report(f"{queue} redriven to {to or queue}", redriver, quiet=dry_run, json_=json_)
    say_missed(reading)


def _edited(taken: Taken) -> dict[str, Any]:
    before = json.dumps(taken.letter.args, indent=2, ensure_ascii=False)
    try:
        after = json.loads(edited(before, ".json"))
    except ValueError as error:
        raise Mistake(f"what the editor left is no JSON: {error}") from error
    if not isinstance(after, dict):
        raise Mistake('the arguments are a JSON object, such as {"user_id": 7}')
    if after == taken.letter.args:
        raise Mistake("the editor left the arguments as they were: nothing is sent")
    known.task(taken.letter.task).signature.decode(msgspec.json.encode(after))
    return after


def _report(what: str, redriver: Redriver, *, quiet: bool, json_: bool) -> None:
    problems = redriver.problems
    if json_ and not quiet:
        counts = {"matched": redriver.matched, "redriven": redriver.redriven, "problems": problems[:100]}
        typer.echo(json.dumps(counts))
    elif not quiet:
        typer.echo(f"{redriver.redriven} of {redriver.matched} dead letters of {what}")
    if problems:
        typer.secho(f"{len(problems)} not redriven as they should be, the first: {line(problems[0])}", err=True)
        raise typer.Exit(PROBLEM)
