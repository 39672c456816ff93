"""The folder that a project's tasks are imported from."""

import sys
import tomllib
from pathlib import Path

from celeriac.model import settings

_USUAL = "functions/tasks"


def root(project: Path) -> Path:
    """The folder that holds the package of the tasks: that of `source` in the project's celeriac.toml.

    project: the folder with celeriac.toml. A file that can't be read counts as one without the key: who reads all of
    it says what is wrong.
    """
    try:
        source = tomllib.loads((project / settings.FILE).read_text(encoding="utf-8")).get("source", _USUAL)
    except (OSError, ValueError):
        source = _USUAL
    return (project / str(source)).parent


def put_on_path(start: Path) -> None:
    """Let this process import the tasks of the project of `start`, or of the nearest folder above it."""
    file = settings.project_file(start)
    if file is None:
        return
    folder = str(root(file.parent))
    if folder not in sys.path:
        sys.path.insert(0, folder)
