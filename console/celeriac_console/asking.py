"""Asking before something is done that can't be taken back, or that reaches far."""

import sys

import typer

from celeriac_console.mistakes import PROBLEM, UserError
from celeriac_console.screen import say
from celeriac_console.text import printable


def ask(question: str, *, otherwise: str) -> None:
    """Go on if the answer is yes, end with exit code 1 if it is not.

    Without a terminal nobody can answer, and an input that was meant for something else must not: that raises Mistake,
    with `otherwise` saying what to type.
    """
    if not sys.stdin.isatty():
        raise UserError(f"{question} There is no terminal to answer at: {otherwise}")
    try:
        agreed = typer.confirm(printable(question), err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None  # Ctrl-C, or Ctrl-D
    if not agreed:
        say("nothing is done", stderr=True)
        raise typer.Exit(PROBLEM)
