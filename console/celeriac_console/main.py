"""The command line: the table of all commands."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from celeriac.model import given, names, project, settings
from celeriac.model.on_path import put_project_on_path
from celeriac_console import explain
from celeriac_console.commands.batches.list_ import list_batches
from celeriac_console.commands.batches.repair import repair
from celeriac_console.commands.batches.show import show as show_batch
from celeriac_console.commands.cancel import cancel_task
from celeriac_console.commands.delayed.cancel import cancel
from celeriac_console.commands.delayed.list_ import list_delayed
from celeriac_console.commands.delayed.run_now import run_now
from celeriac_console.commands.delayed.show import show as show_delayed
from celeriac_console.commands.dlq.discard import discard
from celeriac_console.commands.dlq.export import export
from celeriac_console.commands.dlq.import_ import import_
from celeriac_console.commands.dlq.list_ import list_letters
from celeriac_console.commands.dlq.redrive import redrive
from celeriac_console.commands.dlq.show import show
from celeriac_console.commands.doctor import doctor
from celeriac_console.commands.forget import forget
from celeriac_console.commands.limits.close import close as close_limit
from celeriac_console.commands.limits.open_ import open_limit
from celeriac_console.commands.limits.reset import reset as reset_limit
from celeriac_console.commands.limits.set_ import set_limit
from celeriac_console.commands.limits.show import show_limits
from celeriac_console.commands.new import new
from celeriac_console.commands.outbox.lag import lag
from celeriac_console.commands.outbox.replay import replay
from celeriac_console.commands.pause import pause
from celeriac_console.commands.plan import plan
from celeriac_console.commands.quarantine.add import add
from celeriac_console.commands.quarantine.lift import lift
from celeriac_console.commands.quarantine.list_ import list_quarantines
from celeriac_console.commands.queues import queues
from celeriac_console.commands.rerun import rerun
from celeriac_console.commands.resume import resume
from celeriac_console.commands.runs import list_runs
from celeriac_console.commands.schema import schema
from celeriac_console.commands.send import send
from celeriac_console.commands.smoke import smoke
from celeriac_console.commands.status import status
from celeriac_console.commands.tail import tail
from celeriac_console.commands.tasks import tasks
from celeriac_console.commands.update import update
from celeriac_console.commands.web import web
from celeriac_console.commands.worker import worker
from celeriac_console.explain import explained
from celeriac_console.plugged import Root
from celeriac_console.unknown_commands import Commands

DEFAULT_STAGE = "dev"

app = typer.Typer(
    cls=Root,
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
delayed = _group("delayed", "Tasks that wait in schedules, for a delay of more than 15 minutes.")
quarantine = _group("quarantine", "Tasks and kinds of failure whose messages are dead-lettered without being run.")
limits = typer.Typer(cls=Commands, invoke_without_command=True)
app.add_typer(limits, name="limits")
batches = _group("batches", "Batches that haven't ended: show what each waits for, and repair it.")
outbox = _group("outbox", "The outbox: show unpublished rows, and publish rows again.")


def _show_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"celeriac {version('celeriac')}")
        raise typer.Exit


@app.callback()
def main(
    stage: Annotated[
        str | None, typer.Option(envvar="CELERIAC_STAGE", help="The stage to work on.", show_default=DEFAULT_STAGE)
    ] = None,
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Work on a stage of Celeriac with your AWS credentials, region and profile.

    The stage `local` is this project's local cloud (`celeriac local up`): AWS_PROFILE and similar variables have no
    effect there.
    Exit codes: 0 for success, 1 if problems were found, 2 for a mistake in the command, 130 after Ctrl-C.
    """
    # Other tools of AWS read either variable. boto3 reads only AWS_DEFAULT_REGION.
    if region := os.environ.get("AWS_REGION"):
        os.environ.setdefault("AWS_DEFAULT_REGION", region)
    explain.is_default_stage = stage is None
    stage = DEFAULT_STAGE if stage is None else stage
    try:
        project.read(Path.cwd())
        put_project_on_path(Path.cwd())
        names.prefix(stage)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    os.environ[settings.STAGE] = stage
    given.leave_to_environment()  # a module of tasks may call `celeriac.configure` for another stage


app.command("new")(explained(new, calls_aws=False))
app.command("update")(explained(update, calls_aws=False))
app.command("send")(explained(send))
app.command("forget")(explained(forget))
app.command("rerun")(explained(rerun))
app.command("tasks")(explained(tasks, calls_aws=False))
app.command("schema")(explained(schema, calls_aws=False))
app.command("status")(explained(status))
app.command("cancel")(explained(cancel_task))
app.command("runs")(explained(list_runs))
app.command("queues")(explained(queues))
app.command("pause")(explained(pause))
app.command("resume")(explained(resume))
app.command("tail")(explained(tail))
app.command("doctor")(explained(doctor))
app.command("smoke")(explained(smoke))
app.command("plan")(explained(plan))
app.command("web")(explained(web))
app.command("worker")(explained(worker))
dlq.command("list")(explained(list_letters))
dlq.command("show")(explained(show))
dlq.command("redrive")(explained(redrive))
dlq.command("discard")(explained(discard))
dlq.command("export")(explained(export))
dlq.command("import")(explained(import_))
delayed.command("list")(explained(list_delayed))
delayed.command("show")(explained(show_delayed))
delayed.command("cancel")(explained(cancel))
delayed.command("run-now")(explained(run_now))
quarantine.command("add")(explained(add))
quarantine.command("lift")(explained(lift))
quarantine.command("list")(explained(list_quarantines))
limits.callback()(show_limits)
limits.command("set")(explained(set_limit))
limits.command("open")(explained(open_limit))
limits.command("close")(explained(close_limit))
limits.command("reset")(explained(reset_limit))
batches.command("list")(explained(list_batches))
batches.command("show")(explained(show_batch))
batches.command("repair")(explained(repair))
outbox.command("lag")(explained(lag))
outbox.command("replay")(explained(replay))
