"""Where the package with an application's tasks is, and that Python imports that one and no other."""

import importlib
import sys
from pathlib import Path

from celeriac.model.errors import DeclarationError
from celeriac.model.settings import check_source, project_file
from celeriac_cdk.bundle.source import Source

_OF_A_PROJECT = ("uv.lock", "poetry.lock", "pyproject.toml", "requirements.txt")


class SourceError(DeclarationError):
    """The package with the tasks can't be imported, or another package has its name. The message says what to do."""


_ROOTS: set[Path] = set()
"""The folders that were put on sys.path, for all applications of this process."""


def check_import(source: Source) -> None:
    """Import the package. Raises SourceError if Python finds another one under its name."""
    name = source.package.name
    found = importlib.import_module(name)
    places = [Path(place).resolve() for place in found.__path__] if hasattr(found, "__path__") else []
    if source.package in places:
        return
    other = places[0] if places else Path(found.__file__ or "a module without a file")
    raise SourceError(
        f"{source.package} and {other} have one import name, {name!r}, and Python imports only one of them in a "
        "process: give one folder another name, such as shop_tasks, and name it as the source"
    )


def check_neighbours(source: Source) -> None:
    """Raise SourceError if a module beside the package is that of another source: Python imports it only once."""
    _ROOTS.add(source.root)
    for file in sorted(source.root.iterdir()):
        module = sys.modules.get(file.stem) if file.suffix in {".py", ""} else None
        place = Path(module.__file__ or "").resolve() if module is not None and module.__file__ else None
        if place is None or place.is_relative_to(source.root):
            continue
        if any(place.is_relative_to(other) for other in _ROOTS):
            raise SourceError(
                f"{file} and {place} have one import name, {file.stem!r}, and Python imports only one of them in a "
                "process: give one of them another name, or move it into its package of tasks"
            )


def find_source(source: str | Path, project: str | Path | None) -> Source:
    """Return the package in the folder `source`, which is relative to the current folder.

    project: the folder with the lock file. None: the nearest one above that has a celeriac.toml, or else a file of a
    Python project. Raises SourceError if there is no such folder.
    """
    folder = Path(source).resolve()
    if not folder.is_dir():
        raise SourceError(
            f"source is {str(source)!r}, and there is no folder {folder}: name the folder of the package with your "
            "tasks, relative to the folder in which cdk runs, or in full"
        )
    try:
        check_source(folder.name)
    except ValueError as error:
        raise SourceError(f"source is {str(source)!r}: {error}") from error
    if project is not None:
        return Source(folder, Path(project).resolve())
    file = project_file(folder)
    above = (each for each in folder.parents if any((each / name).is_file() for name in _OF_A_PROJECT))
    return Source(folder, file.parent if file is not None else next(above, folder.parent))
