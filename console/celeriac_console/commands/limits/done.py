"""A change of a limit, shown, asked about and done."""

import json
from pathlib import Path

import typer

from celeriac.model import project
from celeriac.model.settings import stage
from celeriac_console.limits.change import Change
from celeriac_console.stage.clients import client
from celeriac_console.terminal.confirm import confirm
from celeriac_console.terminal.screen import say


def who() -> str:
    """The ARN of the AWS credentials, for who asks later."""
    return str(client("sts").get_caller_identity()["Arn"])


def do(change: Change, *, dry_run: bool, yes: bool, json_: bool) -> None:
    """Do it. In a stage that keeps its data, show it first and ask, unless `yes`. With `dry_run`, only show it."""
    asks = not yes and project.read(Path.cwd()).stage(stage()).keeps
    if dry_run or asks:
        for sentence in change.preview:
            say(sentence, stderr=not dry_run or json_)
        if dry_run:
            if json_:
                typer.echo(json.dumps({"limit": change.name, "preview": change.preview}))
            return
        confirm(f"Do it, in the stage {stage()}?", otherwise="add --yes to do it without being asked")
    cleared = change.apply()
    if json_:
        typer.echo(json.dumps({"limit": change.name, "done": change.done, "cleared": cleared}))
    else:
        say(change.done)
