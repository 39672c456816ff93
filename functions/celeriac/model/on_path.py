"""The folder that holds the package of the tasks, among those in which Python looks for imports."""

import importlib
import sys
from pathlib import Path

from celeriac.model import settings


def put_on_path(root: Path) -> None:
    """Let Python find what is in the folder `root`, an absolute path, before anything else of that name."""
    if not any(Path(entry).resolve() == root for entry in sys.path if entry):
        sys.path.insert(0, str(root))
        importlib.invalidate_caches()


def put_project_on_path(folder: Path) -> None:
    """Do so for the `source` of the celeriac.toml of `folder`, or of the nearest one above it. Without one do nothing.

    Raises ValueError for a file, or a source, that can't be used.
    """
    file = settings.project_file(folder)
    if file is not None:
        put_on_path((file.parent / settings.source_in(folder)).resolve().parent)
