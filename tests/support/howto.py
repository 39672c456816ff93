"""Try the pages of docs/howto as written: in a copy of this application, in other processes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "docs" / "quickstart.md"
BINARIES = Path(sys.executable).parent


def blocks(page: Path, language: str) -> list[str]:
    """The page's code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def copied(into: Path, *more: str) -> Path:
    """Copy functions/, pyproject.toml and `more` of this application into a folder."""
    for name in ("functions", "pyproject.toml", *more):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, into / name)
    return into


def typed_in(copy: Path, addition: str, module: str) -> None:
    """Add to a module of functions/tasks/ as a reader does, with the imports that an editor would add."""
    imports = "from datetime import timedelta\nfrom celeriac import Queue\n"
    with (copy / "functions" / "tasks" / f"{module}.py").open("a") as file:
        file.write(f"\n{imports}\n{addition}")


def python_path(clone: Path) -> str:
    """PYTHONPATH for a copy of this clone: the copy's sources come before those of the editable install."""
    return os.pathsep.join(str(clone / root) for root in ("functions", "infra", "console", "local", "."))


def run(copy: Path, *command: str | Path, **variables: str) -> str:
    """The output of a command in the copy. The copy's modules come before this application's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    path = {"PYTHONPATH": python_path(copy), "PATH": f"{BINARIES}{os.pathsep}{os.defpath}"}
    done = subprocess.run(
        command, cwd=copy, env=environment | path | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_style(copy: Path, *files: str) -> None:
    """Fail if this project's linter or formatter complains."""
    run(copy, BINARIES / "ruff", "check", "--no-cache", *files)
    run(copy, BINARIES / "ruff", "format", "--no-cache", "--check", *files)
