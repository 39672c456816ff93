"""The reference of the command line, made from the help of each command."""

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from celeriac_console.main import app


def reference() -> str:
    """The page: each command with what it does, its arguments and its options."""
    command = typer.main.get_command(app)
    lines = ["# The command `celeriac`", "", *_help(command, "celeriac", None)]
    return "\n".join(lines) + "\n"


def _help(command: Any, name: str, parent: Any) -> Iterator[str]:
    """The lines of a command, then those of its subcommands. Typer's commands have no public type."""
    context = command.context_class(command, info_name=name.rpartition(" ")[2], parent=parent)
    if parent is not None:
        yield from (f"{'##' if name.count(' ') == 1 else '###'} `{name}`", "")
    *text, example = _paragraphs(command.help)
    for paragraph in text if example.startswith("Example") else [*text, example]:
        yield from (paragraph, "")
    if not hasattr(command, "commands") or (parent is not None and command.invoke_without_command):
        yield from ("```console", f"$ {name} {' '.join(command.collect_usage_pieces(context))}", "```", "")
        if example.startswith("Example"):
            yield from ("For example:", "", "```console", f"$ {example.partition(':')[2].strip(' `')}", "```", "")
    records = [each.get_help_record(context) for each in command.get_params(context)]
    for written, meaning in (each for each in records if each is not None and not each[0].startswith("--help")):
        yield f"- `{written}`: {meaning}"
    yield ""
    for word in command.list_commands(context) if hasattr(command, "commands") else ():
        yield from _help(command.get_command(context, word), f"{name} {word}", context)


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", (text or "").strip())]
