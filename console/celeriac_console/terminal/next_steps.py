"""Commands that a message suggests to type next."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime

from celeriac.model.settings import stage
from celeriac_console.terminal.text import line

# Long enough for every command with a key and an id.
LONGEST = 5_000


def command(*words: str) -> str:
    """A `celeriac` command with `words`, for the current stage."""
    return line(shlex.join(["celeriac", "--stage", stage(), *words]), LONGEST)


def same_command(**options: object) -> str:
    """The running command as it was typed, with these options replaced. An option that is None is not replaced."""
    words = sys.argv[1:]
    for name, value in options.items():
        if value is not None:
            shown = value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)
            words = [*_without(words, f"--{name}"), f"--{name}", shown]
    return line(shlex.join(["celeriac", *words]), LONGEST)


def _without(words: Sequence[str], option: str) -> Iterator[str]:
    rest = iter(words)
    for word in rest:
        if word == option:
            next(rest, None)
        elif not word.startswith(f"{option}="):
            yield word


def deploy_it() -> str:
    """The advice to deploy the current stage."""
    return "deploy it: " + ("make up" if stage() == "local" else f"make deploy STAGE={stage()}")
