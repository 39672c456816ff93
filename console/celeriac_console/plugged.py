"""Commands of other packages: those that the entry points of the group `celeriac.commands` name.

The local cloud and the CDK's command line come so, because the console may not import what stands above it. Another
distribution may bring commands of its own. A package is imported when its command is typed, or when help lists it.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer.main

from celeriac_console.unknown_commands import Commands

GROUP = "celeriac.commands"
# What a command of this distribution lacks if its extra isn't installed.
_EXTRAS = {"local": "local", "cdk": "cdk,local"}


@cache
def _plugged() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


class Root(Commands):
    """The table of all commands, with those of other packages."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in the order of the help."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in sorted(_plugged()) if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name; None if there is none."""
        found = super().get_command(ctx, cmd_name)
        if found is not None or cmd_name not in _plugged():
            return found
        command = _loaded(_plugged()[cmd_name])
        self.commands[cmd_name] = command
        return command


def _loaded(point: EntryPoint) -> Any:
    """The command; one that says what to install, if its package or one that it needs isn't there."""
    try:
        command = typer.main.get_command(point.load())
    except ModuleNotFoundError as error:
        return _missing(point.name, error)
    command.name = point.name
    return command


def _missing(name: str, error: ModuleNotFoundError) -> Any:
    cure = f"pip install 'celeriac[{_EXTRAS[name]}]'" if name in _EXTRAS else f"install {error.name}"
    said = f"celeriac {name} needs the package {error.name}, which isn't installed: {cure}"
    app = typer.Typer(add_completion=False)

    @app.command(
        help=f"Not installed: {cure}", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
    )
    def missing() -> None:
        raise typer.BadParameter(said)

    command = typer.main.get_command(app)
    command.name = name
    return command
