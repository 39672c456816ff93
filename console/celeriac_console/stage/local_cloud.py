"""The stage `local` is the local cloud on this machine. A command for this stage finds it without settings."""

import json
import os
import subprocess
import sys

STAGE = "local"


class NotUpError(Exception):
    """The local cloud isn't running. The text says how to start it."""


def enter() -> None:
    """Set this process's environment to the local cloud of this project. The shell's settings for AWS have no effect.

    The environment is the output of `python -m celeriac_local.console_environment`. An import of that package would be
    a cycle, because it imports this one. The project is that of the current folder. Raises NotUpError.
    """
    asked = subprocess.run(
        # -P: a folder celeriac_local in the current folder isn't meant.
        [sys.executable, "-P", "-m", "celeriac_local.console_environment"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        raise NotUpError(asked.stderr.strip())
    variables = json.loads(asked.stdout)
    os.environ.clear()
    os.environ.update(variables)
