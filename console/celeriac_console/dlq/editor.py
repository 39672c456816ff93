"""Edit a text in the user's editor."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from celeriac_console.terminal.errors import UserError


def edited(text: str, suffix: str) -> str:
    """Open `text` in $VISUAL or $EDITOR and return the result.

    Raises UserError if neither variable is set, or if the editor fails.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise UserError("no editor is set: set EDITOR, or use --set name=value")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"edit{suffix}"
        file.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(editor), str(file)], check=False).returncode  # noqa: S603 - the user's
        except OSError as error:
            raise UserError(f"the editor {editor!r} can't be started: {error}") from error
        if done != 0:
            raise UserError(f"the editor {editor!r} ended with exit code {done}: nothing is sent")
        return file.read_text(encoding="utf-8")
