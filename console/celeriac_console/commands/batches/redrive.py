"""The redrive of a batch's dead members, from whatever dead-letter queues they are in."""

import json
from pathlib import Path

import typer

from celeriac.flow.batches.root import Batch
from celeriac.model import project, settings
from celeriac.model.queue import Queue
from celeriac_console.batches.found import Found
from celeriac_console.batches.repair import dead_of
from celeriac_console.dlq.filter import Filter
from celeriac_console.dlq.left import say_left
from celeriac_console.dlq.queue_reader import paced, say_missed
from celeriac_console.dlq.redriver import Redriver
from celeriac_console.rate import Rate
from celeriac_console.terminal.confirm import confirm
from celeriac_console.terminal.errors import FAILED, CommandInterruptedError
from celeriac_console.terminal.next_steps import same_command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.progress import progress
from celeriac_console.terminal.screen import say


def redrive_members(found: Found, *, rate: float | None, yes: bool, json_: bool) -> None:
    """Send the letters of the batch's members back to their queues. In a stage that keeps its data, ask first.

    rate: letters a second, None for no limit.
    """
    batch = found.batch
    dead, queues = dead_of(batch)
    if not yes and project.read(Path.cwd()).stage(settings.stage()).keeps:
        confirm(
            f"Redrive {counted(dead, 'dead member')} of {batch.id} in the stage {settings.stage()}?",
            otherwise="add --yes to do it without being asked",
        )
    done: list[Redriver] = []
    try:
        for queue in queues:
            _redrive(batch, queue, rate, done)
    except KeyboardInterrupt:
        sent = counted(sum(each.redriven for each in done), "dead letter")
        raise CommandInterruptedError(
            f"{sent} of {batch.id} sent back, the others are still dead letters. Go on: {same_command()}"
        ) from None
    _report(batch, dead, done, json_=json_)


def _redrive(batch: Batch, queue: Queue, rate: float | None, done: list[Redriver]) -> None:
    wanted = Filter(batch=batch.member())
    reading = paced(queue, rate)
    with progress(f"redriving {queue.name}", reading.total) as advance:
        redriver = Redriver(
            reading,
            queue,
            lambda one: wanted.matches(one.letter),
            lambda letter: letter.args,
            pace=Rate(rate),
            most=None,
            would_send=None,
            advance=advance,
        )
        done.append(redriver)
        reading.run(redriver.visit, wait=True)


def _report(batch: Batch, dead: int, done: list[Redriver], *, json_: bool) -> None:
    matched, redriven = sum(each.matched for each in done), sum(each.redriven for each in done)
    missed = sum(each.reading.missed for each in done)
    problems = [problem for each in done for problem in each.problems]
    if json_:
        counts = {"batch": batch.id, "dead": dead, "matched": matched, "redriven": redriven}
        typer.echo(json.dumps(counts | {"problems": problems[:100]}))
    else:
        for each in done:
            name = each.target.name
            say(f"{each.redriven} of {counted(each.matched, 'dead letter')} of {batch.id} redriven to {name}")
    if matched < dead and not missed:
        say(
            f"{counted(dead - matched, 'dead member has no letter', 'dead members have no letters')}. Such a member "
            "was cancelled or has expired, or its letter was redriven before, or discarded. Then `then` comes only if "
            "it succeeds after all.",
            stderr=True,
        )
    for each in done:
        say_left(each)
    say_missed(missed)
    if problems:
        raise typer.Exit(FAILED)
