"""Text for people, on standard output or standard error."""

import os
import sys
from typing import Never

from rich.console import Console

from celeriac_console.terminal.text import printable


class Screen(Console):
    """A console that prints text unchanged: no markup, no emoji for `:key:`, no cutting."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(highlight=False, soft_wrap=True, markup=False, emoji=False, stderr=stderr)

    def on_broken_pipe(self) -> Never:
        """Re-raise the error, so that the caller chooses the exit code. rich itself would exit with 1."""
        raise  # noqa: PLE0704 - rich calls this method while it handles the error


def say(text: str = "", *, style: str | None = None, stderr: bool = False) -> None:
    """Print `text`, made safe for a terminal. A style shows only on a terminal, and not if NO_COLOR is set."""
    Screen(stderr=stderr).print(printable(text), style=style)


def forget_reader() -> None:
    """Discard the output for a closed pipe. Else Python would try to write it again at exit, and report an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
