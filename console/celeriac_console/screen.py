"""What people read: lines of text on standard output, or beside it on standard error."""

import os
import sys
from typing import Never

from rich.console import Console

from celeriac_console.text import printable


class Screen(Console):
    """A console that changes nothing of what it is given: no markup, no `:key:` that becomes a picture, no cutting."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(highlight=False, soft_wrap=True, markup=False, emoji=False, stderr=stderr)

    def on_broken_pipe(self) -> Never:
        """Let who called decide: rich would end with the exit code of a problem that was found."""
        raise  # noqa: PLE0704 - rich calls it while it handles the error


def say(text: str = "", *, style: str | None = None, stderr: bool = False) -> None:
    """Print `text`, which may be of others. A style shows on a terminal, and not under NO_COLOR."""
    Screen(stderr=stderr).print(printable(text), style=style)


def forget_reader() -> None:
    """Let what is held back for a reader that is gone go nowhere: Python would try again at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
