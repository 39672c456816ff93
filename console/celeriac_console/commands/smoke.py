"""`celeriac smoke`: send a probe task through every queue, dead-letter queue, schedule and the outbox."""

import json
import signal
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from celeriac.declare import registry
from celeriac.model import declared, names, settings
from celeriac.model.queue import Queue
from celeriac.model.stages import PROBES_OUTPUT
from celeriac_console.application import by_name
from celeriac_console.application.loading import load
from celeriac_console.options import Json
from celeriac_console.smoke.steps import STEPS
from celeriac_console.smoke.watch import Result
from celeriac_console.smoke.watch import smoke as smoked
from celeriac_console.stage.clients import client
from celeriac_console.terminal.errors import FAILED, UserError
from celeriac_console.terminal.next_steps import deploy_it
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.progress import progress
from celeriac_console.terminal.screen import say


def smoke(
    queue: Annotated[
        list[str] | None,
        typer.Argument(help="Queues to try; all if none is named.", autocompletion=by_name.queue_names),
    ] = None,
    *,
    json_: Json = False,
) -> None:
    """Send a probe task through each queue, its dead-letter queue, a schedule and the outbox, and time each way.

    For after a deploy. Up to two and a half minutes, because a schedule may take one; behind a backlog up to ten. Runs
    none of your tasks. A queue that is paused, or that has dead letters or a backlog, is tried in part. Exit code 1 if
    a probe doesn't arrive.

    Example: celeriac --stage prod smoke
    """
    load()
    _check_release()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a workflow that is cancelled cleans up too
    queues = [by_name.queue(name) for name in queue] if queue else list(registry.queues().values())
    tried = [each for each in queues if not each.retired]
    if not tried:
        raise UserError(f"there is no queue to try: {declared.file('queues')} declares none, or all are retired")
    count = sum(len(STEPS) - each.fifo for each in tried)
    with progress("probes", count) as advance:
        results = smoked(tried, lambda _: advance(1))
    if json_:
        typer.echo(json.dumps([asdict(each) for each in results]))
    else:
        _show(tried, results)
    if any(each.problem is not None for each in results):
        raise typer.Exit(FAILED)


def _check_release() -> None:
    """Raise UserError if the deployed release knows no probes: they would wait in its queues, and die there."""
    formation = client("cloudformation")
    try:
        stack = formation.describe_stacks(StackName=names.part(settings.stage(), "work"))["Stacks"][0]
    except Exception:  # noqa: BLE001 - a stage under another stack's name, or no right to look: the probes will tell
        return
    if PROBES_OUTPUT not in {each["OutputKey"] for each in stack.get("Outputs", [])}:
        raise UserError(f"the release of the stage {settings.stage()} is too old for a smoke test: {deploy_it()}")


def _show(queues: Sequence[Queue], results: Sequence[Result]) -> None:
    found = {(each.queue, each.step): each for each in results}
    columns = [step.what for step in STEPS]
    longest = max(len(queue.name) for queue in queues)
    say("  ".join(["".ljust(longest), *(column.rjust(11) for column in columns)]))
    for queue in queues:
        cells = [_cell(found.get((queue.name, column))).rjust(11) for column in columns]
        is_well = all(found[queue.name, column].problem is None for column in columns if (queue.name, column) in found)
        say("  ".join([queue.name.ljust(longest), *cells]), style=None if is_well else "red")
    failed = [each for each in results if each.problem is not None]
    for each in results:
        if each.problem is not None:
            say(f"WRONG {each.queue}, {each.step}: {each.problem}", style="yellow")
        elif each.not_tried is not None:
            say(f"not tried: {each.queue}, {each.step}: {each.not_tried}")
    arrived = sum(each.not_tried is None for each in results)
    if not arrived:
        say(f"Nothing of the stage {settings.stage()} could be tried.", style="yellow")
    elif not failed:
        say(f"The stage {settings.stage()} works: {counted(arrived, 'probe')} arrived.")


def _cell(result: Result | None) -> str:
    if result is None or result.not_tried is not None:
        return "-"
    return f"{result.seconds:.1f} s" if result.problem is None else "FAILED"
