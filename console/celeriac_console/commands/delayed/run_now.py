"""`celeriac delayed run-now`: send tasks that wait in schedules to their queues."""

import json
from collections.abc import Sequence
from pathlib import Path

import typer

from celeriac.model import project
from celeriac.model.settings import stage
from celeriac_console.application import by_name
from celeriac_console.application.loading import load
from celeriac_console.delayed.choice import choice_of, preview
from celeriac_console.delayed.filter import filter_of
from celeriac_console.delayed.options import DryRun, From, Names, OfQueue, OfTask, Until
from celeriac_console.delayed.sender import Sender
from celeriac_console.delayed.waiting import Waiting
from celeriac_console.options import Json, PerSecond, Yes
from celeriac_console.rate import Rate
from celeriac_console.terminal.confirm import confirm
from celeriac_console.terminal.errors import FAILED, CommandInterruptedError
from celeriac_console.terminal.next_steps import same_command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.screen import say


def run_now(
    names: Names = None,
    *,
    queue: OfQueue = None,
    task: OfTask = None,
    from_: From = None,
    until: Until = None,
    rate: PerSecond = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Send tasks that wait in schedules to their queues now. Each keeps its id, and counts its attempts on.

    Asks first if it would send all tasks of a queue in a stage that keeps its data, such as prod. Exit code 1 if a task
    could not be sent.

    Example: celeriac delayed run-now --task charge --until 2h --rate 20
    """
    load()
    wanted = filter_of(task, from_, until)
    by_name.warn_of_task(task)
    choice = choice_of(names, queue, wanted)
    if dry_run:
        chosen = preview(choice, stderr=json_)
        if json_:
            typer.echo(json.dumps({"chosen": chosen}))
        return
    if not (names or yes) and wanted.is_everything and project.read(Path.cwd()).stage(stage()).keeps:
        confirm(
            f"Run all {counted(len(choice.names), 'delayed task')} of {queue} now, in the stage {stage()}?",
            otherwise="add --yes, or choose tasks with --task, --from or --until",
        )
    sender = Sender(Rate(rate))

    def visit(some: Sequence[Waiting]) -> None:
        sender.send(some)

    try:
        left_out = choice.walk("sending", visit)
    except KeyboardInterrupt:
        done = f"{counted(sender.sent, 'delayed task')} sent"
        raise CommandInterruptedError(f"{done}. Go on: {same_command(**wanted.absolute())}") from None
    if json_:
        counts = {"sent": sender.sent, "firing": sender.firing, "unreadable": left_out}
        typer.echo(json.dumps(counts | {"problems": sender.problems[:100]}))
    else:
        say(f"{counted(sender.sent, 'delayed task')} sent")
    if sender.firing:
        say(f"{counted(sender.firing, 'task')} left to Scheduler, which sends them just now", stderr=True)
    if left_out:
        say(f"{counted(left_out, 'schedule')} left out: no task of the stage", stderr=True)
    if sender.problems:
        say(f"{counted(len(sender.problems), 'problem')}. The first: {sender.problems[0]}", stderr=True)
        raise typer.Exit(FAILED)
