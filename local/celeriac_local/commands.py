"""The commands of the local cloud: words on the screen and exit codes, nothing else."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from celeriac_local import cloud, environment, state
from celeriac_local.deploy import deploy, fingerprint
from celeriac_local.hints import AWS_CLI, ENVIRONMENT
from celeriac_local.problem import ProblemError
from celeriac_local.report import report_calls
from celeriac_local.state import Cloud

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The local cloud of this clone.")
console = Console(highlight=False, soft_wrap=True, emoji=False)  # an ARN has `:secret:` in it
Port = Annotated[
    int | None, typer.Option(envvar="PORT", min=1024, max=65000, help="Where AWS's API is to answer, on 127.0.0.1.")
]
Picture = Annotated[Path | None, typer.Option(help="Draw the report, into an SVG file.")]


def _explained[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Turn a problem into its sentence and exit code 1."""

    @functools.wraps(command)
    def explained(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ProblemError as problem:
            Console(stderr=True, highlight=False, soft_wrap=True).print(str(problem), style="red", markup=False)
            raise typer.Exit(1) from None

    return explained


@app.command()
@_explained
def up(port: Port = None) -> None:
    """Start the local cloud and deploy to it.

    Example: python -m celeriac_local up --port 4600
    """
    bring_up(port)
    from celeriac_local import samples  # noqa: PLC0415 - loads every task, which `make down` needn't

    if not samples.missing():
        console.print("Try: make demo")
    console.print(f"Send a task: {samples.command_to_send()}", markup=False)
    # Version 1 of the AWS CLI doesn't follow AWS_ENDPOINT_URL to SQS.
    console.print(f"boto3 and AWS's own tools talk to it after: {ENVIRONMENT}", markup=False)
    console.print(f"  {AWS_CLI}", markup=False)


@app.command()
@_explained
def down() -> None:
    """Stop the local cloud and everything it started.

    Example: python -m celeriac_local down
    """
    if cloud.down():
        console.print("The local cloud is down: no process and no port is left.")
    else:
        console.print("The local cloud wasn't up.")


@app.command()
@_explained
def env() -> None:
    """Print the environment that talks to the local cloud.

    Example: eval "$(python -m celeriac_local env)"
    """
    typer.echo(environment.as_shell(cloud.require().port, os.environ))


@app.command()
@_explained
def example() -> None:
    """Print a command that sends one of this application's tasks.

    Example: python -m celeriac_local example
    """
    from celeriac_local.samples import command_to_send  # noqa: PLC0415 - loads every task, which `make down` needn't

    typer.echo(command_to_send())


@app.command()
@_explained
def demo(port: Port = None, picture: Picture = None) -> None:
    """Send real work through the whole system and report on it.

    Example: python -m celeriac_local demo
    """
    from celeriac_local import samples  # noqa: PLC0415 - boto3 takes half a second that `make down` needn't spend
    from celeriac_local.demo import run  # noqa: PLC0415

    if gone := samples.missing():
        console.print(f"The demo shows the sample tasks at work, and {gone}.", markup=False)
        console.print(f"To see your own: make up, then {samples.command_to_send()}", markup=False)
        return
    if not run(bring_up(port), console, picture):
        raise typer.Exit(1)


def bring_up(port: int | None) -> Cloud:
    """The running cloud with today's sources deployed, started if need be. A `port` given must be the cloud's."""
    found = cloud.running()
    if found is None:
        with console.status("Starting the local cloud"):
            found = cloud.start(port)
        if port is None and found.port != cloud.DEFAULT_PORT:
            usual = cloud.DEFAULT_PORT
            console.print(f"Port {usual} is taken by {cloud.holder(usual)}, so this is port {found.port}", markup=False)
        console.print(f"The local cloud is up: AWS's API on {found.url}, the sample's provider on {found.provider_url}")
    elif port not in {None, found.port}:
        raise ProblemError(
            f"The local cloud is up already, on port {found.port}. To move it: make down, then make up PORT={port}"
        )
    else:
        console.print(f"The local cloud is up already, on {found.url}")
        report_calls(console)

    # What follows in this process talks to the local cloud and to nothing else; the synth alone needs more.
    shell = dict(os.environ)
    environment.enter(found.port)
    sources = fingerprint(found.provider_url)
    if found.deployed == sources:
        console.print("What is deployed is what is here")
        return found
    deploy(found, console, shell)
    found = found.with_deployed(sources)
    state.save(found)
    return found
