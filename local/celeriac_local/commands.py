"""The commands of the local cloud, with their output and exit codes. Other files do the work."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from celeriac.model.on_path import put_on_path
from celeriac_local import folders
from celeriac_local.cloud import environment, lifecycle, state, workers
from celeriac_local.cloud.deploy import deploy, fingerprint
from celeriac_local.cloud.refused_calls import report_calls
from celeriac_local.cloud.state import Cloud
from celeriac_local.errors import UserError
from celeriac_local.folders import celeriac

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The local cloud of this project: AWS's part played by this machine.",
)
console = Console(
    highlight=False, soft_wrap=True, emoji=False
)  # an ARN contains `:secret:`, which would become an emoji
Port = Annotated[
    int | None, typer.Option(envvar="PORT", min=1024, max=65000, help="The port of AWS's API, on 127.0.0.1.")
]
# Version 1 of the AWS CLI doesn't follow AWS_ENDPOINT_URL to SQS.
AWS_CLI = 'aws --endpoint-url "$AWS_ENDPOINT_URL" sqs list-queues'
Picture = Annotated[Path | None, typer.Option(help="Draw the report as this SVG file.")]


def _explained[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Wrap `command`: a UserError becomes its message and exit code 1."""

    @functools.wraps(command)
    def explained(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except UserError as error:
            Console(stderr=True, highlight=False, soft_wrap=True).print(str(error), style="red", markup=False)
            raise typer.Exit(1) from None

    return explained


@app.command()
@_explained
def up(port: Port = None) -> None:
    """Start the local cloud and deploy to it.

    Example: celeriac local up --port 4600
    """
    bring_up(port)
    from celeriac_local.demo.next_steps import command_to_send  # noqa: PLC0415 - loads every task: `down` needs none

    console.print(f"Try: {celeriac()} local demo", markup=False)
    console.print(f"Send a task: {command_to_send()}", markup=False)
    console.print(f'To use it with boto3 and AWS\'s own tools: eval "$({celeriac()} local env)"', markup=False)
    console.print(f"  {AWS_CLI}", markup=False)


@app.command()
@_explained
def down() -> None:
    """Stop the local cloud and everything it started.

    Example: celeriac local down
    """
    if lifecycle.down():
        console.print("The local cloud is down: no process and no port is left.")
    else:
        console.print("The local cloud wasn't up.")


@app.command()
@_explained
def env() -> None:
    """Print the environment variables for using the local cloud.

    Example: eval "$(celeriac local env)"
    """
    typer.echo(environment.as_shell(lifecycle.require().port, os.environ))


@app.command()
@_explained
def example() -> None:
    """Print a command that sends one of this application's tasks.

    Example: celeriac local example
    """
    from celeriac_local.demo.next_steps import command_to_send  # noqa: PLC0415 - loads every task: `down` needs none

    typer.echo(command_to_send())


@app.command()
@_explained
def reset(
    *, everything: Annotated[bool, typer.Option("--all", help="Also what was installed and built for it.")] = False
) -> None:
    """Stop the local cloud, and delete its data: messages, tables, logs, and files that it makes again in .celeriac/.

    The next start begins with an empty cloud.

    Example: celeriac local reset
    """
    gone = lifecycle.reset(everything=everything)
    console.print(f"Gone from .celeriac/: {', '.join(gone)}" if gone else "There was nothing to delete.", markup=False)


@app.command()
@_explained
def demo(port: Port = None, picture: Picture = None) -> None:
    """Send real work through the whole system, and print what became of it.

    It sends what celeriac.toml names under [[demo]]. The repository of Celeriac has a demo of its own.

    Example: celeriac local demo
    """
    if folders.has_samples():
        done = _samples(port, picture)
    else:
        from celeriac_local.demo import own  # noqa: PLC0415 - boto3 takes half a second, which `down` doesn't need

        wanted = own.read(folders.root())
        bring_up(port)
        done = own.run(wanted, console)
    if not done:
        raise typer.Exit(1)


def _samples(port: int | None, picture: Path | None) -> bool:
    """Run the demo of the sample tasks. Returns whether every count was right."""
    from celeriac_local.demo import samples  # noqa: PLC0415 - as above
    from celeriac_local.demo.next_steps import command_to_send  # noqa: PLC0415
    from celeriac_local.demo.run import run  # noqa: PLC0415

    if gone := samples.missing():
        console.print(f"The demo shows the sample tasks at work, and {gone}.", markup=False)
        console.print(f"To run your own tasks: {celeriac()} local up, then {command_to_send()}", markup=False)
        return True
    return run(bring_up(port), console, picture)


def bring_up(port: int | None) -> Cloud:
    """The running cloud with the current sources deployed. A cloud that isn't running is started.

    Raises UserError if it already runs on another port than `port`.
    """
    put_on_path(folders.source_root())
    found = lifecycle.running()
    if found is None:
        with console.status("Starting the local cloud"):
            found = lifecycle.start(port, console.print)
        if port is None and found.port != lifecycle.DEFAULT_PORT:
            usual = lifecycle.DEFAULT_PORT
            console.print(
                f"Port {usual} is taken by {lifecycle.holder(usual)}, so the local cloud uses port {found.port}",
                markup=False,
            )
        console.print(f"The local cloud is up: AWS's API on {found.url}")
        if found.provider is not None:
            console.print(f"The server that the sample tasks call is on {found.provider_url}")
    elif port not in {None, found.port}:
        raise UserError(
            f"The local cloud is up already, on port {found.port}. To move it: celeriac local down, then "
            f"celeriac local up --port {port}"
        )
    else:
        console.print(f"The local cloud is up already, on {found.url}")
        report_calls(console)

    # From here on, this process uses the local cloud only. The synth also needs the shell's environment.
    shell = dict(os.environ)
    environment.enter(found.port)
    wanted = fingerprint(found.provider_url)
    if found.deployed == wanted:
        console.print("The deployment is up to date")
        return workers.keep(found)
    deploy(found, console, shell)
    found = found.with_deployed(wanted)
    state.save(found)
    return workers.start(found)
