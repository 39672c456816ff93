"""Load the tasks. An error is told in two lines: the place in the user's code, and the cause."""

import os
import sysconfig
import traceback
from pathlib import Path

import celeriac
from celeriac.declare import registry
from celeriac.model import declared
from celeriac.model.errors import DeclarationError
from celeriac.model.failure import error_message, error_type
from celeriac.model.on_path import put_project_on_path
from celeriac_console.terminal.errors import UserError

# Code in these folders isn't the user's: it is Python's, a package's or Celeriac's.
_OTHERS = [
    *(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")),
    Path(celeriac.__file__).resolve().parent,
    Path(__file__).resolve().parents[1],
]
MOST_CHARACTERS = 400


def load() -> None:
    """Import every task. Raises UserError, with file and line, if a module of the user fails."""
    try:
        put_project_on_path(Path.cwd())
        registry.load()
    except (Exception, SystemExit) as error:  # a module may raise anything when it is imported
        raise UserError(why_not(error)) from error


def why_not(error: BaseException) -> str:
    """The place and the error. An error of several modules together, such as a name used twice, has no place."""
    place = _place(error)
    text = " ".join(error_message(error).split())[:MOST_CHARACTERS]
    if not isinstance(error, DeclarationError | declared.NoTasksError):  # their texts are complete without the type
        text = f"{error_type(error)}: {text}"
    return f"the tasks can't be loaded: {place}\n  {text}" if place else f"the tasks can't be loaded: {text}"


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{_shown(error.filename)}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{_shown(frames[-1].filename)}, line {frames[-1].lineno}" if frames else ""


def _is_users(filename: str) -> bool:
    if filename.startswith("<"):
        return False
    path = Path(filename).resolve()
    return not any(path.is_relative_to(folder) for folder in _OTHERS)


def _shown(filename: str) -> str:
    """The path relative to the current folder if the file is in it, else as it is."""
    path, here = Path(filename).resolve(), Path.cwd().resolve()
    return os.fspath(path.relative_to(here)) if path.is_relative_to(here) else filename
