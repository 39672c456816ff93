"""`celeriac new`: a project of your own."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from celeriac.model import settings
from celeriac.model.version import VERSION
from celeriac_console.made.copier import copier
from celeriac_console.made.library import put_wheel
from celeriac_console.made.releases import make_repository
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.screen import say

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_LONGEST_NAME = 20


def new(
    folder: Annotated[Path, typer.Argument(help="The folder of the project, which must be new or empty.")],
    name: Annotated[
        str,
        typer.Option(
            help="The application's name, with which every name in AWS begins: 1-20 lower-case letters "
            "and digits, a letter first. Without it: that of the folder."
        ),
    ] = "",
    region: Annotated[
        str, typer.Option(help="The region that the stages are deployed to. Without it: that of the caller.")
    ] = "",
    *,
    defaults: Annotated[bool, typer.Option("--defaults", help="Ask nothing.")] = False,
) -> None:
    """Make a project: a queue, two tasks, their tests, the CDK app, a Makefile and a workflow.

    Example: celeriac new my-tasks --defaults
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already, and isn't empty: choose another folder")
    if not defaults and sys.stdin.isatty():
        name = name or typer.prompt("The application's name", default=name_of(folder))
        region = region or typer.prompt("The region (empty for that of the caller)", default="", show_default=False)
    answers = _checked(name or name_of(folder), region)
    was_there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        answers |= {"folder": _package_name(folder), "version": VERSION, "wheel": put_wheel(folder)}
        copier(folder, "copy", "--overwrite", make_repository(folder), ".", answers=answers)
    except BaseException:
        for each in folder.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        if not was_there:
            folder.rmdir()
        raise
    number = sum(path.is_file() for path in folder.rglob("*") if ".celeriac" not in path.parts)
    if answers["name"] not in {name, folder.name}:
        say(f"The application's name is {answers['name']}, made of the folder's. For another one: --name")
    say(f"{folder} has {number} files, all yours. Next:")
    here = os.path.relpath(folder)
    for command in (f"cd {shlex.quote(here)}", "make demo", "make test"):
        say(f"  {command}")


def name_of(folder: Path) -> str:
    """An application's name like that of the folder: its letters and digits, or `app` if none are left."""
    letters = re.sub(r"[^a-z0-9]", "", folder.name.lower()).lstrip("0123456789")
    return letters[:_LONGEST_NAME] or "app"


def _package_name(folder: Path) -> str:
    """A name for pyproject.toml, like that of the folder."""
    return re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "app"


def _checked(name: str, region: str) -> dict[str, str]:
    try:
        settings.check_application(name)
    except ValueError as error:
        raise UserError(str(error)) from error
    if region and not _REGION.fullmatch(region):
        raise UserError(f"{region!r} is no region: write a name such as eu-west-1")
    return {"name": name, "region": region}
