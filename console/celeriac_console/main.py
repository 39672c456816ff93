"""`celeriac`: the operator's commands for a stage."""

import os
from typing import Annotated

import typer

from celeriac.model import names
from celeriac_console import doctor, outbox, pause, quarantine, queues, send, status, tail, tasks, used_keys
from celeriac_console.dlq import discard, export, import_, list_, redrive, show
from celeriac_console.suggestions import Commands, show_version
from celeriac_console.terminal.errors import explained

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _group(name: str, help_: str) -> typer.Typer:
    group = typer.Typer(cls=Commands, no_args_is_help=True, help=help_)
    app.add_typer(group, name=name)
    return group


dlq = _group("dlq", "Dead letters: show them with their reasons, redrive, discard, export and import them.")
held = _group("quarantine", "Tasks and kinds of failure whose messages are dead-lettered without being run.")
events = _group("outbox", "The outbox: show unpublished events, and publish events again.")


@app.callback()
def main(
    stage: Annotated[str, typer.Option(envvar="CELERIAC_STAGE", help="The stage to work on.")] = "dev",
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Work on a stage of Celeriac with your AWS credentials, region and profile.

    The stage `local` is the local cloud of this clone (`make up`): AWS_PROFILE and similar variables have no effect.
    Exit codes: 0 for success, 1 if problems were found, 2 for a mistake in the command, 130 after Ctrl-C.
    """
    # Other tools of AWS read either variable. boto3 reads only AWS_DEFAULT_REGION.
    if region := os.environ.get("AWS_REGION"):
        os.environ.setdefault("AWS_DEFAULT_REGION", region)
    try:
        os.environ["CELERIAC_STAGE"] = names.check_stage(stage)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


app.command("send")(explained(send.send))
app.command("forget")(explained(used_keys.forget))
app.command("rerun")(explained(used_keys.rerun))
app.command("tasks")(explained(tasks.tasks, calls_aws=False))
app.command("status")(explained(status.status))
app.command("queues")(explained(queues.queues))
app.command("pause")(explained(pause.pause))
app.command("resume")(explained(pause.resume))
app.command("tail")(explained(tail.tail))
app.command("doctor")(explained(doctor.doctor))
dlq.command("list")(explained(list_.list_letters))
dlq.command("show")(explained(show.show))
dlq.command("redrive")(explained(redrive.redrive))
dlq.command("discard")(explained(discard.discard))
dlq.command("export")(explained(export.export))
dlq.command("import")(explained(import_.import_))
held.command("add")(explained(quarantine.add))
held.command("lift")(explained(quarantine.lift))
held.command("list")(explained(quarantine.list_))
events.command("lag")(explained(outbox.lag))
events.command("replay")(explained(outbox.replay))
