"""`celeriac batches repair`: do what a person can do for a batch that hasn't ended."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from celeriac.model import project, settings
from celeriac_console.batches.found import Found, named
from celeriac_console.batches.repair import finish, give_up, refuse_given_up, refuse_incomplete, unended
from celeriac_console.batches.words import waits_for
from celeriac_console.commands.batches.options import BatchId
from celeriac_console.commands.batches.redrive import redrive_members
from celeriac_console.options import Json, PerSecond, Yes
from celeriac_console.terminal.confirm import confirm
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.screen import say


def repair(
    batch_id: BatchId,
    *,
    redrive: Annotated[
        bool, typer.Option("--redrive", help="Send the dead members' letters back to their queues.")
    ] = False,
    gives_up: Annotated[
        bool, typer.Option("--give-up", help="Nobody waits any more for a batch that won't end.")
    ] = False,
    rate: PerSecond = None,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Send the callback of a complete batch that is due and wasn't sent, and say what is still missing.

    It may be typed as often as you like: a callback that is sent twice runs once. With `--redrive`, the letters of this
    batch's members go back from their dead-letter queues, and no others. With `--give-up`, a batch that won't end is
    late no more: its program died before it was complete, or a dead member can't succeed any more. These two ask first
    in a stage that keeps its data, such as prod.

    Example: celeriac --stage prod batches repair 'calls#summarise:import-7' --redrive
    """
    if redrive and gives_up:
        raise UserError("--redrive lets a batch go on, and --give-up ends it: give one of them")
    if rate is not None and not redrive:
        raise UserError("--rate is for --redrive")
    found = unended(batch_id)
    if gives_up:
        _give_up(found, yes=yes, json_=json_)
    elif redrive:
        refuse_incomplete(found)
        redrive_members(found, rate=rate, yes=yes, json_=json_)
    else:
        _finish(found, json_=json_)


def _finish(found: Found, *, json_: bool) -> None:
    now = finish(found)
    if json_:
        typer.echo(msgspec.json.encode(now.as_json()).decode())
        return
    for sentence in waits_for(now):
        say(sentence)


def _give_up(found: Found, *, yes: bool, json_: bool) -> None:
    batch = found.batch
    refuse_given_up(found)
    if not yes and project.read(Path.cwd()).stage(settings.stage()).keeps:
        question = f"Give up {batch.id}, in the stage {settings.stage()}? What was sent of it runs nevertheless."
        confirm(question, otherwise="add --yes to do it without being asked")
    said = give_up(found)
    if json_:
        typer.echo(msgspec.json.encode(named(batch.id).as_json()).decode())
    else:
        say(said)
