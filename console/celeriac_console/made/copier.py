"""Copier, which renders a template and merges a newer one. It runs as a process of its own, in the project's folder."""

import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from celeriac_console.made.releases import environment
from celeriac_console.terminal.errors import UserError

ANSWERS = ".copier-answers.yml"
"""The file in a project that says which release made it, and with which answers."""


def copier(project: Path, command: str, *words: str, answers: Mapping[str, str]) -> str:
    """Run a command of Copier in the project's folder. Returns what it prints. Raises UserError if it fails.

    answers: those to the template's questions. The rest have been answered before, or have defaults.
    """
    if importlib.util.find_spec("copier") is None:
        raise UserError("copier isn't installed: pip install 'celeriac[cli]'")
    given = [word for key, value in answers.items() for word in ("--data", f"{key}={value}")]
    done = subprocess.run(  # noqa: S603 - Copier, with words from this package
        [sys.executable, "-m", "copier", command, "--quiet", "--defaults", *given, *words],
        cwd=project,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise UserError(f"the template can't be used: {said[-1] if said else 'Copier gave no reason'}")
    return done.stdout + done.stderr
