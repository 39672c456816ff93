"""`celeriac delayed cancel`: cancel tasks that wait in schedules."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer

from celeriac.model import project
from celeriac.model.settings import stage
from celeriac_console.application import by_name
from celeriac_console.application.loading import load
from celeriac_console.delayed.cancel import Cancelling, Outcome
from celeriac_console.delayed.choice import choice_of, preview
from celeriac_console.delayed.filter import filter_of
from celeriac_console.delayed.options import DryRun, From, Names, OfQueue, OfTask, Until
from celeriac_console.options import Json, Yes
from celeriac_console.terminal.confirm import confirm
from celeriac_console.terminal.errors import FAILED, CommandInterruptedError
from celeriac_console.terminal.next_steps import same_command
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.screen import say

_TOLD = {
    Outcome.ENDED: "had run before, and its schedule is deleted",
    Outcome.RUNNING: "runs now, or its worker has died: it isn't cancelled",
    Outcome.SENT: "may have been sent before it was cancelled",
}


def cancel(
    names: Names = None,
    *,
    queue: OfQueue = None,
    task: OfTask = None,
    from_: From = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Cancel tasks that wait in schedules. They don't run any more, and get no dead letter.

    Shows them first, then asks, in a stage that keeps its data, such as prod. `celeriac status` says of a cancelled
    task that it is dead, cancelled. Exit code 1 if a task could not be cancelled.

    Example: celeriac delayed cancel --task nightly_report --until 2026-12-01T00:00
    """
    load()
    wanted = filter_of(task, from_, until)
    by_name.warn_of_task(task)
    choice = choice_of(names, queue, wanted)
    asks = not yes and project.read(Path.cwd()).stage(stage()).keeps
    if dry_run or asks:
        chosen = preview(choice, stderr=not dry_run or json_)
        if dry_run:
            if json_:
                typer.echo(json.dumps({"chosen": chosen}))
            return
        confirm(f"Cancel them, in the stage {stage()}?", otherwise="add --yes to cancel without being asked")
        choice = replace(choice, names=chosen)
    work = Cancelling()
    try:
        left_out = choice.walk("cancelling", work.cancel)
    except KeyboardInterrupt:
        done = f"{counted(work.counts[Outcome.CANCELLED], 'delayed task')} cancelled"
        raise CommandInterruptedError(f"{done}. Go on: {same_command(**wanted.absolute())}") from None
    _report(work.counts, work.problems, left_out, json_=json_)


def _report(counts: Counter[Outcome], problems: Sequence[str], left_out: int, *, json_: bool) -> None:
    if json_:
        numbers = {outcome.value: counts[outcome] for outcome in Outcome}
        typer.echo(json.dumps(numbers | {"unreadable": left_out, "problems": problems[:100]}))
    else:
        say(f"{counted(counts[Outcome.CANCELLED], 'delayed task')} cancelled")
    for outcome, told in _TOLD.items():
        if counts[outcome]:
            say(f"{counts[outcome]} of them: it {told}", stderr=True)
    if left_out:
        say(f"{counted(left_out, 'schedule')} left out: no task of the stage. Cancel them by name", stderr=True)
    if problems:
        say(f"{counted(len(problems), 'task')} not cancelled. The first: {problems[0]}", stderr=True)
    if problems or counts[Outcome.RUNNING] or counts[Outcome.SENT]:
        raise typer.Exit(FAILED)
