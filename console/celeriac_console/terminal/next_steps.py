"""Commands that a message suggests to type next."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from celeriac.model.settings import project_file, stage
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
    if stage() == "local":
        return f"deploy it: {start_local()}"
    return "deploy it" + (f": make deploy STAGE={stage()}" if _has_makefile() else f": run cdk deploy for {stage()}")


def start_local() -> str:
    """The command that starts the local cloud and deploys to it."""
    return "make up" if _has_makefile() else "celeriac local up"


def _has_makefile() -> bool:
    """Whether the project has the commands of make. The host of a construct may have none."""
    file = project_file(Path.cwd())
    return ((file.parent if file is not None else Path.cwd()) / "Makefile").exists()
