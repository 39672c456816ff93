"""The template of each release, as a git repository with a tag for each, which Copier compares and merges.

The package holds the template of its own version as files, and those of earlier versions in `template_history/`, a zip
each. `python -m celeriac_console.made.releases` writes the zip of this version there, as a part of every release:
docs/reference/compatibility.md.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from celeriac.model.version import VERSION
from celeriac_console.terminal.errors import UserError

_PACKAGE = Path(__file__).resolve().parents[1]
TEMPLATE = _PACKAGE / "template"
HISTORY = _PACKAGE / "template_history"
PLACE = Path(".celeriac") / "template"
"""Where a project has the repository, relative to its folder. It is made when it is needed, and git ignores it."""
_NO_FILES = shutil.ignore_patterns("__pycache__", ".DS_Store")
# A zip's earliest time. Equal templates give equal zips.
_TIME = (1980, 1, 1, 0, 0, 0)
_NOBODY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "celeriac", "EMAIL": "celeriac@localhost", "DATE": "2020-01-01T00:00:00Z"}.items()
}


def make_repository(project: Path) -> str:
    """Make the repository of the templates in the project. Returns its path, relative to the project's folder.

    Raises UserError if git is missing or fails.
    """
    folder = project / PLACE
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder.parent / ".gitignore").write_text("*\n")
    git(folder, "init", "--quiet")
    for version, source in releases():
        for old in folder.iterdir():
            if old.name != ".git":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        _unpack(source, folder)
        # --force: what a user's own settings of git ignore may be a file of the template.
        git(folder, "add", "--all", "--force")
        git(folder, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", version)
        git(folder, "tag", version)
    return PLACE.as_posix()


def releases() -> Iterator[tuple[str, Path]]:
    """The versions whose template is known, the oldest first, each with its zip or folder."""
    found = {file.stem: file for file in HISTORY.glob("*.zip")}
    yield from ((each, found[each]) for each in sorted(found, key=_numbers) if _numbers(each) < _numbers(VERSION))
    yield VERSION, TEMPLATE


def freeze(target: Path) -> Path:
    """Write the template of this version to the folder `target`, as a zip. Returns the zip."""
    target.mkdir(exist_ok=True)
    written = target / f"{VERSION}.zip"
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(each for each in TEMPLATE.rglob("*") if each.is_file() and "__pycache__" not in each.parts):
            entry = zipfile.ZipInfo(file.relative_to(TEMPLATE).as_posix(), _TIME)
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return written


def git(folder: Path, *words: str) -> str:
    """Run git in that folder and return what it prints. Raises UserError if it is missing or fails.

    The user's settings and variables have no effect: a hook or a signature there isn't meant for this repository.
    """
    found = shutil.which("git")
    if found is None:
        raise UserError("git isn't installed, and the template is merged with it: install git")
    done = subprocess.run(  # noqa: S603 - git, with words from this package
        [found, "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false", "-c", "core.hooksPath=/dev/null", *words],
        cwd=folder,
        env=environment() | _NOBODY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UserError(f"git {words[0]} failed: {' '.join(done.stderr.split()) or done.returncode}")
    return done.stdout


def environment() -> dict[str, str]:
    """The environment of git and Copier: the shell's, without what names another repository, and with a home."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    base.setdefault("HOME", str(Path.home()))
    return base


def _unpack(source: Path, folder: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, folder, dirs_exist_ok=True, ignore=_NO_FILES)
        return
    with zipfile.ZipFile(source) as archive:
        archive.extractall(folder)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


if __name__ == "__main__":
    sys.stdout.write(f"{freeze(HISTORY)}\n")
