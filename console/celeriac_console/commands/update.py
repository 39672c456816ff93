"""`celeriac update`: what is new in the template of this release."""

from pathlib import Path

from celeriac.model import settings
from celeriac.model.version import VERSION
from celeriac_console.made.copier import ANSWERS, copier
from celeriac_console.made.library import put_wheel
from celeriac_console.made.releases import git, make_repository, releases
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.screen import say


def update() -> None:
    """Bring what is new in this release's template into the project, and keep what you have changed.

    The library itself is a dependency: raise its version in pyproject.toml, then `make setup`.

    Example: celeriac update
    """
    project = _project()
    made_by = _made_by(project)
    if made_by not in dict(releases()):
        raise UserError(
            f"{ANSWERS} says that the template of {made_by} made this project, and this is Celeriac {VERSION}, which "
            "doesn't know it: raise the version of celeriac in pyproject.toml, then make setup"
        )
    if git(project, "status", "--porcelain", "--untracked-files=no", "--", ".").strip():
        raise UserError("the project has changes that aren't committed: commit or stash them, and update again")
    make_repository(project)
    wheel = put_wheel(project)
    copier(project, "update", "--conflict", "inline", answers={"version": VERSION, "wheel": wheel})
    changed = git(project, "status", "--porcelain", "--untracked-files=all", "--", ".").splitlines()
    if not changed:
        say(f"Nothing is new: the project has the template of {VERSION}.")
        return
    say(f"From {made_by} to {VERSION}. Look at what has changed (git diff), run make check, and commit:")
    for line in changed:
        say(f"  {line}")
    if conflicts := [line for line in changed if line[:2] in {"UU", "AA", "DU", "UD"}]:
        say(
            f"{len(conflicts)} of these files have conflicts: both you and the template have changed the same lines. "
            "Keep one side between the marks <<<<<<< and >>>>>>>, then git add."
        )


def _project() -> Path:
    file = settings.project_file(Path.cwd())
    if file is None:
        raise UserError(f"there is no {settings.FILE} here or above: go to the folder of your project")
    project = file.parent
    try:
        git(project, "rev-parse", "--verify", "HEAD")
    except UserError as error:
        raise UserError(
            f"{project} isn't in a git repository with a commit, and an update is a merge: git init, git add ., "
            "git commit"
        ) from error
    return project


def _made_by(project: Path) -> str:
    """The release whose template made the project, or was merged last."""
    file = project / ANSWERS
    if not file.is_file():
        raise UserError(f"{project} has no {ANSWERS}: celeriac new didn't make it, so there is nothing to compare with")
    for line in file.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key == "_commit":
            return value.strip().strip("'\"")
    raise UserError(f"{file} has no line _commit, which says the release: bring it back from git")
