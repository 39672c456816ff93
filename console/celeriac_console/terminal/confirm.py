"""The question before an action that can't be undone, or that affects many messages."""

import sys

import typer

from celeriac_console.terminal.errors import FAILED, UserError
from celeriac_console.terminal.screen import say
from celeriac_console.terminal.text import printable


def confirm(question: str, *, otherwise: str) -> None:
    """Ask the question. Returns if the answer is yes. Any other answer ends the command with exit code 1.

    Raises UserError if standard input is not a terminal, because piped input is no answer. `otherwise` says what to
    type in this case.
    """
    if not sys.stdin.isatty():
        raise UserError(f"{question} There is no terminal to answer at: {otherwise}")
    try:
        agreed = typer.confirm(printable(question), err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None  # Ctrl-C, or Ctrl-D
    if not agreed:
        say("nothing was done", stderr=True)
        raise typer.Exit(FAILED)
